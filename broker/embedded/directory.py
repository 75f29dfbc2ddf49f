"""The data directory: made when missing, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from schemas.errors import ConfigError

LOCK_NAME = "lock"


class DataDirectory:
    """An exclusive lock on a directory; the system drops it with the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def hold(self) -> None:
        """Make the directory and lock it. Raises ConfigError when that cannot be."""
        try:
            self._make()
            lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"The data directory {self.path} cannot be used: {error.strerror or error}."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise ConfigError(
                f"The data directory {self.path} is in use by another Penstock process; "
                "stop that one, or give this one a directory of its own."
            ) from error
        self._lock = lock

    def let_go(self) -> None:
        """Give the lock up; safe to call twice."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make(self) -> None:
        if self.path.is_dir():
            return
        self.path.mkdir(mode=0o700, parents=True)
        # Without this a power loss could take the new directory itself away.
        parent = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
