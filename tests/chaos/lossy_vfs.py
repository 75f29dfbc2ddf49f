"""A disk that forgets what was not synced when the power fails, under SQLite as a VFS.

`kill -9` proves nothing about durability, since the page cache survives it. Here each file is kept
twice: as the process sees it, and as it would be found after a power loss. A write reaches the
second only by a sync; at the cut any of the writes since then may have got there, in any
combination, one of them perhaps torn.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import apsw

_numbers = count(1)


@dataclass
class _Image:
    """What the disk holds of one file, and the writes that it may still forget."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.durable, offset, data)
        self.pending.clear()

    def after_power_loss(self, dice: random.Random) -> bytes:
        found = bytearray(self.durable)
        odds = dice.choice((0.0, 0.5, 1.0))
        for offset, data in self.pending:
            if dice.random() >= odds:
                continue
            torn = data is not None and dice.random() < 0.1
            _apply(found, offset, data[: dice.randrange(len(data) + 1)] if torn and data else data)
        return bytes(found)


class PowerFailed(apsw.IOError):
    """The disk is gone."""


class LossyDisk:
    """All files under one VFS; `cut_after(n)` lets the power fail at the n-th event from now."""

    def __init__(self) -> None:
        self.vfs = f"lossy-{next(_numbers)}"
        self.syncs = 0
        self._images: dict[str, _Image] = {}
        self._events_left: int | None = None
        self._off = False
        self._lock = threading.Lock()

    def cut_after(self, events: int) -> None:
        """Let the power fail at a later write, truncation or sync."""
        with self._lock:
            self._events_left = events

    def cut(self) -> None:
        """Let the power fail now."""
        with self._lock:
            self._off = True

    def restore_to(self, directory: Path, dice: random.Random) -> None:
        """Write what is found after the power is back."""
        directory.mkdir()
        for path, image in self._images.items():
            (directory / Path(path).name).write_bytes(image.after_power_loss(dice))

    def wrote(self, path: str, offset: int, data: bytes | None) -> None:
        """A write, or with None a truncation; the one at the cut may have got through."""
        with self._lock:
            self._check()
            self._image(path).pending.append((offset, data))
            self._count()

    def synced(self, path: str) -> None:
        """A sync; the one at the cut did not happen."""
        with self._lock:
            self._check()
            self._count()
            self._image(path).sync()
            self.syncs += 1

    def deleted(self, path: str) -> None:
        """A deletion, which the directory keeps at once."""
        with self._lock:
            self._check()
            self._images.pop(path, None)

    def _image(self, path: str) -> _Image:
        return self._images.setdefault(path, _Image())

    def _check(self) -> None:
        if self._off:
            raise PowerFailed("the power has failed")

    def _count(self) -> None:
        if self._events_left is None:
            return
        self._events_left -= 1
        if self._events_left <= 0:
            self._off = True
            raise PowerFailed("the power fails")


class _LossyFile(apsw.VFSFile):
    def __init__(self, disk: LossyDisk, filename: str | apsw.URIFilename, flags: list[int]) -> None:
        name = filename if isinstance(filename, str) else filename.filename()
        self._disk, self._path = disk, name
        super().__init__("", filename, flags)

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """SQLite gets the error code; there is nobody else to tell."""
        return True

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  because apsw names it
        super().xWrite(data, offset)
        self._disk.wrote(self._path, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802  because apsw names it
        super().xTruncate(newsize)
        self._disk.wrote(self._path, newsize, None)

    def xSync(self, flags: int) -> None:  # noqa: N802  because apsw names it
        # The real disk is spared: what counts is the image.
        self._disk.synced(self._path)


class _LossyVfs(apsw.VFS):
    def __init__(self, disk: LossyDisk) -> None:
        self._disk = disk
        super().__init__(disk.vfs, "")

    def excepthook(self, etype: object, evalue: object, etraceback: object) -> bool:
        """SQLite gets the error code; there is nobody else to tell."""
        return True

    def xOpen(  # noqa: N802  because apsw names it
        self, name: str | apsw.URIFilename | None, flags: list[int]
    ) -> apsw.VFSFile:
        assert name is not None, "temporary files stay in memory"
        return _LossyFile(self._disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802  because apsw names it
        self._disk.deleted(filename)
        super().xDelete(filename, syncdir)


@contextmanager
def lossy_disk() -> Iterator[LossyDisk]:
    """Yield a disk; its VFS is registered meanwhile."""
    disk = LossyDisk()
    vfs = _LossyVfs(disk)
    try:
        yield disk
    finally:
        vfs.unregister()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data
