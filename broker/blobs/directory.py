"""Blobs in a directory that any number of processes share."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from broker.blobs.folders import entries, make_root, opened, remove_empty
from broker.blobs.keys import folder_of, parts_of
from broker.blobs.opened_file import OpenedFile
from broker.blobs.pieces import PIECE, gathered
from broker.blobs.unfinished import Unfinished, clear_left_behind
from broker.free_space import Floor, FreeSpace
from schemas.errors import BlobMissing, BlobsUnavailable, ConfigError, StorageFull

T = TypeVar("T")
# One step: a piece read or written, 32 MiB synced, a folder listed.
_STEP_S = 60.0
_THREADS = 8
_DELETED_AT_ONCE = 100
_FULL = {errno.ENOSPC, errno.EDQUOT}
_log = structlog.get_logger("penstock.blobs")


class _Closable(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=_Closable | None)


class DirectoryBlobs:
    """Fills `Blobs`: `kept/<key>` is a blob, `unfinished/` are those on their way.

    No key is the beginning of another one, up to a `/`: a file is no folder.
    """

    def __init__(self, path: str | Path, floor: Floor | None = None) -> None:
        self.path = Path(path)
        self._kept = self.path / "kept"
        self._new = self.path / "unfinished"
        self._space = FreeSpace(self.path, floor or Floor(), "directory of blobs")
        self._threads: ThreadPoolExecutor | None = None

    async def start(self) -> None:
        """Make the directory, and remove what crashed processes left half written."""
        if self._threads is not None:
            return
        threads = ThreadPoolExecutor(_THREADS, "blobs")
        try:
            left = await asyncio.get_running_loop().run_in_executor(threads, self._prepare)
        except OSError as error:
            threads.shutdown(wait=False)
            raise ConfigError(
                f"The directory of blobs {self.path} cannot be used: {error.strerror or error}. "
                "Set `blobs.directory` or `server.data_dir` to a directory that this user can "
                "write to, or `blobs.s3`."
            ) from error
        self._threads = threads
        if left:
            _log.info("removed blobs that were never finished", files=left)

    async def stop(self) -> None:
        """Close everything; what is being read or written breaks off."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        """Write a file beside, sync it, and rename it into place."""
        parts, size = parts_of(key), 0
        file = await self._lend(self._begin)
        try:
            async for run in gathered(data, PIECE):
                size += sum(map(len, run))
                await self._do(file.write, run)
            await self._do(file.place, self._kept, parts)
        finally:
            self._close(file)
        return size

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield pieces of a file that stays open until the last one is taken."""
        left = None if end is None else end - start
        file = await self._lend(self._open, parts_of(key), start)
        if file is None:
            raise BlobMissing(f"There is no blob {key} in {self.path}.")
        try:
            while left is None or left > 0:
                piece = await self._do(file.read, PIECE if left is None else min(left, PIECE))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            self._close(file)

    async def size(self, key: str) -> int | None:
        """Return the size of the file."""
        return await self._do(self._size, parts_of(key))

    async def delete(self, keys: Iterable[str]) -> None:
        """Remove files, and the folders that are empty then."""
        waiting = [parts_of(key) for key in keys]
        for start in range(0, len(waiting), _DELETED_AT_ONCE):
            await self._do(self._delete, waiting[start : start + _DELETED_AT_ONCE])

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Walk the folders in order; one at a time is held in memory."""
        stack = [folder_of(prefix)]
        while stack:
            here = stack.pop()
            if here and not here.endswith("/"):
                yield here
                continue
            below = await self._do(self._entries, [part for part in here.split("/") if part])
            found = (here + name for name in reversed(below))
            stack += [key for key in found if key.startswith(prefix)]

    async def health(self) -> str | None:
        """Tell whether the directory is still there and can be written."""
        try:
            usable = await self._do(self._usable)
        except BlobsUnavailable as error:
            return str(error)
        return None if usable else f"The directory of blobs {self.path} cannot be written."

    async def _do(self, step: Callable[..., T], *arguments: object) -> T:
        """Run a step in a thread."""
        return await self._result(self._submit(step, *arguments))

    async def _lend(self, step: Callable[..., C], *arguments: object) -> C:
        """Run a step that opens something; if nobody waits for it any more, it is closed."""
        opening = self._submit(step, *arguments)
        try:
            return await self._result(opening)
        except BaseException:
            opening.add_done_callback(_close_opened)
            raise

    def _submit(self, step: Callable[..., T], *arguments: object) -> Future[T]:
        if self._threads is None:
            raise BlobsUnavailable("The directory of blobs is not open.")
        return self._threads.submit(step, *arguments)

    async def _result(self, future: Future[T]) -> T:
        try:
            async with asyncio.timeout(_STEP_S):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise BlobsUnavailable(
                f"The directory of blobs {self.path} did not answer in {_STEP_S:g} s."
            ) from error
        except OSError as error:
            kind = StorageFull if error.errno in _FULL else BlobsUnavailable
            raise kind(
                f"The directory of blobs {self.path} cannot be used: {error.strerror or error}."
            ) from error

    def _close(self, file: _Closable) -> None:
        """Close in a thread, where it may wait for a step that nobody waits for."""
        if self._threads is None:
            file.close()
        else:
            self._threads.submit(file.close)

    def _prepare(self) -> int:
        for folder in (self.path, self._kept, self._new):
            make_root(folder)
        if not self._usable():
            raise PermissionError(errno.EACCES, "this user cannot write there")
        return clear_left_behind(self._new)

    def _usable(self) -> bool:
        return all(os.access(folder, os.W_OK | os.X_OK) for folder in (self._kept, self._new))

    def _begin(self) -> Unfinished:
        self._space.check()
        return Unfinished(self._new)

    def _open(self, parts: list[str], start: int) -> OpenedFile | None:
        try:
            return OpenedFile(self._kept, parts, start)
        except FileNotFoundError:
            return None

    def _size(self, parts: list[str]) -> int | None:
        file = self._open(parts, 0)
        if file is None:
            return None
        try:
            return file.size()
        finally:
            file.close()

    def _entries(self, parts: list[str]) -> list[str]:
        try:
            return entries(self._kept, parts)
        except FileNotFoundError:
            return []

    def _delete(self, keys: list[list[str]]) -> None:
        for parts in keys:
            try:
                with opened(self._kept, parts[:-1]) as folder:
                    os.unlink(parts[-1], dir_fd=folder)
            except FileNotFoundError:
                continue
        for folder_parts in {tuple(parts[:-1]) for parts in keys}:
            remove_empty(self._kept, folder_parts)


def _close_opened(opening: Future[C]) -> None:
    if not opening.cancelled() and not opening.exception():
        file: _Closable | None = opening.result()
        if file is not None:
            file.close()
