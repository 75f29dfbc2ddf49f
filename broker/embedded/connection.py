"""Opening the SQLite file so that what is committed survives a power loss."""

from __future__ import annotations

from pathlib import Path

import apsw

from broker.embedded.migrations import migrate
from schemas.errors import ConfigError, StoreUnavailable

# In WAL mode FULL syncs at every commit; NORMAL would lose the newest ones with the power.
SYNCHRONOUS = "FULL"
_BUSY_MS = 5_000
_CACHE_KIB = 4 * 1024


def open_writer(path: Path, vfs: str | None) -> apsw.Connection:
    """Return the one connection that writes, with the schema in place."""
    connection = _open(path, vfs)
    try:
        mode = connection.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise ConfigError(f"{path} lies on a file system that cannot hold SQLite's WAL.")
        connection.pragma("synchronous", SYNCHRONOUS)
        connection.pragma("fullfsync", 1)  # macOS: an fsync alone stops at the disk's cache
        connection.pragma("journal_size_limit", 64 * 1024 * 1024)
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, vfs: str | None) -> apsw.Connection:
    """Return a connection that only reads."""
    connection = _open(path, vfs)
    connection.pragma("query_only", 1)
    return connection


def _open(path: Path, vfs: str | None) -> apsw.Connection:
    try:
        connection = apsw.Connection(str(path), vfs=vfs)
        connection.set_busy_timeout(_BUSY_MS)
        connection.pragma("cache_size", -_CACHE_KIB)
        connection.pragma("temp_store", "MEMORY")
        connection.pragma("trusted_schema", 0)
    except apsw.Error as error:
        raise StoreUnavailable(f"{path} cannot be opened: {error}.") from error
    return connection
