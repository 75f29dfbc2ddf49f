"""A blob of a directory that is being read."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Sequence
from pathlib import Path

from broker.blobs.folders import opened


class OpenedFile:
    """Bytes from `start` on. Used from threads; `close` waits for the step that runs."""

    def __init__(self, root: Path, parts: Sequence[str], start: int) -> None:
        with opened(root, parts[:-1]) as folder:
            self._handle = os.open(
                parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder
            )
        self._next = start
        self._closed = False
        self._lock = threading.Lock()

    def size(self) -> int:
        """Return the size of the whole blob. Raises OSError."""
        with self._lock:
            found = os.fstat(self._handle)
            if not stat.S_ISREG(found.st_mode):
                raise IsADirectoryError(f"{self._handle} is no file")
            return found.st_size

    def read(self, most: int) -> bytes:
        """Return the next bytes, at most so many; none at the end. Raises OSError."""
        with self._lock:
            if self._closed:
                return b""
            piece = os.pread(self._handle, most, self._next)
            self._next += len(piece)
            return piece

    def close(self) -> None:
        """Give the file up; safe to call twice."""
        with self._lock, contextlib.suppress(OSError):
            if not self._closed:
                self._closed = True
                os.close(self._handle)
