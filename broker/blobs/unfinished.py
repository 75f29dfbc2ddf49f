"""A blob on its way into a directory: a locked file that becomes visible whole, or never."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path

from broker.blobs.folders import opened

# Little is left to be written when the file is synced, so that no step takes long.
_SYNC_EVERY = 32 * 1024 * 1024
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TRIES = 20


class Unfinished:
    """One file in `folder`; its lock tells other processes that its writer lives.

    Used from threads, by one step at a time; `close` waits for the step that runs.
    """

    def __init__(self, folder: Path) -> None:
        self._path, handle = _new_file(folder)
        self._file = os.fdopen(handle, "wb", buffering=0)
        self._unsynced = 0
        self._lock = threading.Lock()

    def write(self, run: Sequence[bytes]) -> None:
        """Append. Raises OSError."""
        with self._lock:
            for piece in run:
                left = memoryview(piece)
                while left:
                    left = left[self._file.write(left) :]
                self._unsynced += len(piece)
            if self._unsynced >= _SYNC_EVERY:
                self._sync()

    def place(self, root: Path, parts: Sequence[str]) -> None:
        """Make it the file `parts` below `root`, durably. Raises OSError."""
        with self._lock:
            self._sync()
            for left in reversed(range(_TRIES)):
                try:
                    self._rename(root, parts)
                except FileNotFoundError:
                    # The folder was empty, and somebody tidied it away meanwhile.
                    if not left:
                        raise
                else:
                    return

    def close(self) -> None:
        """Forget it, if it has not been placed."""
        with self._lock, contextlib.suppress(OSError):
            # Closed last: without its lock it would be taken for left behind.
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()
            self._file.close()

    def _rename(self, root: Path, parts: Sequence[str]) -> None:
        with opened(root, parts[:-1], make=True) as folder:
            os.rename(self._path, parts[-1], dst_dir_fd=folder)
            os.fsync(folder)

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._unsynced = 0


def clear_left_behind(folder: Path) -> int:
    """Remove the files whose writers are gone, and return how many. Raises OSError."""
    removed = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            removed += _clear(path)
    return removed


def _clear(path: Path) -> bool:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(handle)
    return True


def _new_file(folder: Path) -> tuple[Path, int]:
    """Return a new file, locked."""
    while True:
        path = folder / secrets.token_hex(16)
        handle = os.open(path, _NEW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            # Between these two lines another process may have found it without a lock.
            if os.fstat(handle).st_nlink:
                return path, handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
