"""The examination of the embedded store: its directory, its disk, its file. Nothing is changed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from pathlib import Path

import apsw

from broker.embedded.connection import SYNCHRONOUS
from broker.embedded.database import FILE_NAME
from broker.embedded.directory import LOCK_NAME
from broker.embedded.file_system import holder_of, kind_at
from broker.embedded.migrations import SCHEMA_VERSION
from broker.findings import Examined, Finding
from broker.free_space import MIB, examine_space

PART = "Embedded store"
_CORRUPTING = ((3, 7, 0), (3, 51, 2))  # the WAL-reset corruption
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "afs", "fuse.sshfs")
_PASSING = {"tmpfs": "memory", "ramfs": "memory", "overlay": "the container"}
CHECK_LIMIT_S = 10.0
_STEPS_A_LOOK = 10_000


async def examine(data_dir: Path) -> list[Finding]:
    """Return what is found at `data_dir`."""
    return await asyncio.to_thread(_examine, data_dir)


def _examine(data_dir: Path) -> list[Finding]:
    examined = Examined(PART)
    _library(examined, apsw.sqlite_lib_version())
    place = _nearest(data_dir)
    _directory(examined, data_dir, place)
    _disk(examined, place)
    examine_space(examined, place, kept="for results", below="nothing is accepted")
    if data_dir.is_dir():
        _file(examined, data_dir)
    return examined.findings


def _library(examined: Examined, version: str) -> None:
    lowest, highest = _CORRUPTING
    if lowest <= tuple(int(part) for part in version.split(".")[:3]) <= highest:
        examined.fail(
            "SQLite",
            f"{version} can corrupt its file (the WAL-reset bug, to 3.51.2)",
            "install apsw 3.54 or newer",
        )
    else:
        examined.ok("SQLite", f"{version}, WAL, synchronous {SYNCHRONOUS}")


def _nearest(path: Path) -> Path:
    """Return the path itself, or the nearest parent that exists."""
    path = path.absolute()
    return next(each for each in (path, *path.parents) if each.exists())


def _directory(examined: Examined, data_dir: Path, place: Path) -> None:
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        examined.fail(
            "directory",
            f"{place} is not a directory that this user can write to",
            f"chown it to user {os.geteuid()}, or set data_dir",
        )
    elif data_dir.is_dir():
        examined.ok("directory", f"{data_dir.absolute()} is writable")
    else:
        examined.ok("directory", f"{data_dir.absolute()} will be made at the first start")


def _disk(examined: Examined, place: Path) -> None:
    kind = kind_at(place)
    if kind is None:
        examined.note("file system", "its kind is not told here", "it must be a local disk")
    elif kind in _NETWORK:
        examined.fail(
            "file system",
            f"{kind} is a network file system: SQLite's WAL and the lock need a local one",
            "set data_dir to a local disk",
        )
    elif kind in _PASSING:
        examined.warn(
            "file system",
            f"{kind}: what is accepted is lost with {_PASSING[kind]}",
            "set data_dir to a disk or a mounted volume",
        )
    else:
        examined.ok("file system", f"{kind}, local")


def _file(examined: Examined, data_dir: Path) -> None:
    path = data_dir / FILE_NAME
    if _in_use(data_dir / LOCK_NAME):
        pid = holder_of(data_dir / LOCK_NAME)
        by = f"process {pid}" if pid else "a process that is not told here"
        examined.ok("in use", f"by {by}; the file is not checked meanwhile")
    elif not path.exists():
        examined.ok("file", "none yet")
    else:
        _check(examined, path)


def _in_use(lock: Path) -> bool:
    """Tell whether a server holds the lock; a shared one, let go at once, disturbs none."""
    try:
        handle = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False


def _check(examined: Examined, path: Path) -> None:
    until = time.monotonic() + CHECK_LIMIT_S
    try:
        file = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            file.set_progress_handler(lambda: time.monotonic() > until, _STEPS_A_LOOK)
            schema = int(file.pragma("user_version"))
            faults = [str(row[0]) for row in file.execute("PRAGMA quick_check(3)")]
        finally:
            file.close()
    except apsw.InterruptError:
        examined.note("file", f"not free: no fault found in the first {CHECK_LIMIT_S:g} s")
        return
    except apsw.Error as error:
        examined.fail("file", f"{path} cannot be read: {error}", "restore it from a copy")
        return
    if faults != ["ok"]:
        examined.fail("file", f"{path} is damaged: {'; '.join(faults)}", "restore it from a copy")
    elif schema > SCHEMA_VERSION:
        examined.fail(
            "file",
            f"schema {schema}, this Penstock reads {SCHEMA_VERSION}",
            "upgrade Penstock, or use another data directory",
        )
    else:
        examined.ok("file", f"{path.stat().st_size / MIB:,.1f} MiB, not in use, without fault")
