"""The SQLite file as the engine uses it: one writer, one reader, an epoch for each life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from broker.embedded.connection import open_reader, open_writer
from broker.embedded.directory import DataDirectory
from broker.embedded.reader import Reader
from broker.embedded.writer import Operation, Writer
from schemas.errors import StoreUnavailable

T = TypeVar("T")
FILE_NAME = "penstock.db"


class Database:
    """Open between `open` and `close`; both threads end with it."""

    def __init__(
        self, data_dir: Path, vfs: str | None = None, on_broken: Callable[[str], None] | None = None
    ) -> None:
        self._directory = DataDirectory(data_dir)
        self._vfs = vfs
        self._on_broken = on_broken
        self._writer: Writer | None = None
        self._reader: Reader | None = None

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self._directory.path / FILE_NAME

    @property
    def trouble(self) -> str | None:
        """Return None while the file can be written, else a sentence."""
        if self._writer is None:
            return "The store is not open."
        return self._writer.broken

    async def open(self) -> int:
        """Take the directory, open the file and return the new epoch.

        Raises ConfigError when another process holds the directory.
        """
        self._directory.hold()
        try:
            writing = await asyncio.to_thread(open_writer, self.path, self._vfs)
            self._writer = Writer(writing, self._broken)
            reading = await asyncio.to_thread(open_reader, self.path, self._vfs)
            self._reader = Reader(reading)
            return await self.write(_next_epoch)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what waits and give the directory up; safe to call twice."""
        reader, self._reader = self._reader, None
        writer, self._writer = self._writer, None
        if reader is not None:
            await reader.close()
        if writer is not None:
            await writer.close()
        self._directory.let_go()

    async def write(self, operation: Operation[T], after: Callable[[T], None] | None = None) -> T:
        """Return the operation's value once it is durable (see Writer.run)."""
        if self._writer is None:
            raise StoreUnavailable("The store is not open.")
        return await self._writer.run(operation, after)

    async def read(self, query: Callable[..., T], *arguments: object) -> T:
        """Return `query(connection, *arguments)`."""
        if self._reader is None:
            raise StoreUnavailable("The store is not open.")
        return await self._reader.run(partial(_swap, query, arguments))

    def _broken(self, sentence: str) -> None:
        if self._on_broken is not None:
            self._on_broken(sentence)


def _swap(query: Callable[..., T], arguments: tuple[object, ...], file: apsw.Connection) -> T:
    return query(file, *arguments)


def _next_epoch(file: apsw.Connection) -> int:
    epoch = file.execute("INSERT INTO epochs DEFAULT VALUES RETURNING epoch").get
    file.execute("DELETE FROM epochs WHERE epoch < ?", (epoch,))
    return int(epoch)
