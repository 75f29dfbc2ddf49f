"""Blobs in a bucket of S3, or of anything that speaks its protocol."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Iterable
from datetime import timedelta
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store

from broker.blobs.keys import folder_of, parts_of
from broker.blobs.parts import BrokenOff, Parts
from broker.blobs.pieces import cut, each_of, taken
from broker.lifecycle import Tasks
from schemas.blob_config import S3Config
from schemas.errors import BlobMissing, BlobsUnavailable

T = TypeVar("T")
MIB = 1024 * 1024
# The least that S3 takes as a part; it takes 10,000 of them.
PART = 5 * MIB
_PARTS_AT_ONCE = 2
# Read by a request each, so that a slow reader holds no connection open.
_WINDOW = 4 * MIB
_CONNECT = timedelta(seconds=5)
_TRY = timedelta(seconds=30)
_CALL_S = 60.0
_PAGE = 1_000
_ABORT_S = 10.0
_LOOK_S = 3.0
_LOOK_EVERY_S = 5.0
# No key begins like this: the answer is short, and still tells whether the bucket can be read.
_NOTHING = "none/"
_CODE = re.compile(r"<Code>([A-Za-z0-9]+)</Code>")
_NO_BUCKET = "NoSuchBucket"
_MEANS = {
    _NO_BUCKET: "there is no such bucket",
    "AccessDenied": "the access key may not do that",
    "InvalidAccessKeyId": "the access key is unknown",
    "SignatureDoesNotMatch": "the secret key is wrong",
}


class S3Blobs:
    """Fills `Blobs`. Every request has a time limit, and is tried again within it."""

    def __init__(self, config: S3Config) -> None:
        self.place = f"{config.endpoint or 's3:/'}/{config.bucket}"
        self._store = _store(config)
        self._tasks = Tasks("s3")
        self._underway: set[Parts] = set()
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._trouble: str | None = None

    async def start(self) -> None:
        """Do nothing: a service that is away is waited for, and `health` tells of it."""

    async def stop(self) -> None:
        """Break off what is being written, and see its parts removed."""
        for parts in self._underway:
            parts.break_off()
        await self._tasks.stop(_ABORT_S)

    async def put(self, key: str, data: bytes | AsyncIterable[bytes]) -> int:
        """Store what is short at once, and the rest in parts of which nothing stays behind."""
        path = _path(key)
        source = each_of(data)
        first = await taken(source, PART)
        if len(first) < PART:
            await self._ask(obstore.put_async(self._store, path, first, use_multipart=False))
            return len(first)
        parts = Parts(first, source)
        self._underway.add(parts)
        try:
            # Cancelled by itself, it would leave the parts in the bucket.
            await self._tasks.finish("put", self._put_parts(path, parts))
        except asyncio.CancelledError:
            parts.break_off()
            raise
        finally:
            self._underway.discard(parts)
        return parts.size

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Yield the bytes, of which a window at a time is asked for."""
        path, size = _path(key), await self.size(key)
        if size is None:
            raise BlobMissing(f"There is no blob {key} in {self.place}.")
        stop = size if end is None else min(end, size)
        while start < stop:
            upto = min(stop, start + _WINDOW)
            window = await self._ask(
                obstore.get_range_async(self._store, path, start=start, end=upto)
            )
            for piece in cut(bytes(window)):
                yield piece
            start = upto

    async def size(self, key: str) -> int | None:
        """Return the size of the object."""
        try:
            found = await self._ask(obstore.head_async(self._store, _path(key)))
        except BlobMissing:
            # The answer has no body: without a bucket it would be the same.
            await self._look()
            return None
        return found["size"]

    async def delete(self, keys: Iterable[str]) -> None:
        """Delete up to a thousand with each request."""
        paths = [_path(key) for key in keys]
        for start in range(0, len(paths), _PAGE):
            await self._ask(obstore.delete_async(self._store, paths[start : start + _PAGE]))

    async def keys(self, prefix: str) -> AsyncIterator[str]:
        """Ask for a page after the other."""
        pages = obstore.list(self._store, folder_of(prefix) or None, chunk_size=_PAGE)
        while (page := await self._ask(anext(aiter(pages), None))) is not None:
            for each in page:
                if each["path"].startswith(prefix):
                    yield each["path"]

    async def health(self) -> str | None:
        """Tell whether the bucket can be read, looked at every few seconds."""
        async with self._looking:
            now = time.monotonic()
            if now - self._looked_at >= _LOOK_EVERY_S:
                self._trouble = await self._seen()
                self._looked_at = now
        return self._trouble

    async def _seen(self) -> str | None:
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._look()
        except TimeoutError:
            return f"{self.place} did not answer in {_LOOK_S:g} s."
        except BlobsUnavailable as error:
            return str(error)
        return None

    async def _look(self) -> None:
        """Raise BlobsUnavailable if the bucket cannot be read."""
        async for _ in self.keys(_NOTHING):
            return

    async def _put_parts(self, path: str, parts: Parts) -> None:
        try:
            await self._told(
                obstore.put_async(
                    self._store,
                    path,
                    parts.all(),
                    chunk_size=PART,
                    max_concurrency=_PARTS_AT_ONCE,
                )
            )
        except Exception:
            if isinstance(parts.error, BrokenOff):
                return
            # What the source raised, whatever the client has made of it.
            if parts.error is not None:
                raise parts.error from None
            raise

    async def _ask(self, call: Awaitable[T]) -> T:
        """Return what a request brings. Raises BlobMissing and BlobsUnavailable."""
        try:
            async with asyncio.timeout(_CALL_S):
                return await self._told(call)
        except TimeoutError as error:
            raise BlobsUnavailable(f"{self.place} did not answer in {_CALL_S:g} s.") from error

    async def _told(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except TimeoutError:
            raise
        except FileNotFoundError as error:
            if _NO_BUCKET not in str(error):
                raise BlobMissing(f"{self.place} does not have that blob.") from error
            raise BlobsUnavailable(f"{self.place}: {_reason(error)}.") from error
        except (BaseError, OSError) as error:
            raise BlobsUnavailable(f"{self.place}: {_reason(error)}.") from error


def _store(config: S3Config) -> S3Store:
    told: obstore.store.S3Config = {"region": config.region}
    if config.endpoint:
        told["endpoint"] = config.endpoint
    if config.access_key and config.secret_key:
        told["access_key_id"] = config.access_key
        told["secret_access_key"] = config.secret_key
    return S3Store(
        config.bucket,
        prefix=config.prefix or None,
        config=told,
        client_options={
            "allow_http": (config.endpoint or "").startswith("http://"),
            "connect_timeout": _CONNECT,
            "timeout": _TRY,
        },
        retry_config={"max_retries": 3, "retry_timeout": _TRY},
    )


def _path(key: str) -> str:
    return "/".join(parts_of(key))


def _reason(error: Exception) -> str:
    """Return what the service's code means, or the first words of the client's long report."""
    if found := _CODE.search(str(error)):
        return _MEANS.get(found[1], found[1])
    if isinstance(error, PermissionDeniedError | UnauthenticatedError):
        return "the access key is refused"
    return str(error).split("\n", 1)[0].split(" - ")[-1].strip()[:200]
