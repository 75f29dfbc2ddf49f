"""What every place of blobs does: a directory, and a bucket of S3."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from broker.blobs import s3
from broker.blobs.opening import open_blobs
from broker.ports import Blobs
from schemas.blob_config import BlobsConfig
from schemas.errors import BlobMissing

MIB = 1024 * 1024
PIECE = bytes(range(256)) * 4 * 1024


@pytest.fixture(params=["directory", pytest.param("s3", marks=pytest.mark.realservers)])
def config(request: pytest.FixtureRequest) -> BlobsConfig:
    """A place with nothing in it."""
    return BlobsConfig(s3=request.getfixturevalue("s3") if request.param == "s3" else None)


@pytest.fixture
async def blobs(config: BlobsConfig, tmp_path: Path) -> AsyncIterator[Blobs]:
    """A process that uses it."""
    async with opened(config, tmp_path) as place:
        yield place


@asynccontextmanager
async def opened(config: BlobsConfig, data_dir: Path) -> AsyncIterator[Blobs]:
    place = open_blobs(config, data_dir)
    await place.start()
    try:
        yield place
    finally:
        await place.stop()


async def all_of(blobs: Blobs, key: str, *between: Any) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, *between)])


async def keys_of(blobs: Blobs, prefix: str) -> list[str]:
    return [key async for key in blobs.keys(prefix)]


async def pieces(count: int, fails_after: int | None = None) -> AsyncIterator[bytes]:
    """Yield PIECE (1 MiB) so often; with `fails_after`, break off."""
    for number in range(count):
        if number == fails_after:
            raise LookupError("the client went away")
        yield PIECE


@pytest.mark.parametrize("data", [b"", b"x", PIECE * 3 + b"end"])
async def test_what_was_put_is_read(blobs: Blobs, data: bytes) -> None:
    assert await blobs.put("files/file-1", data) == len(data)
    assert await blobs.size("files/file-1") == len(data)
    assert await all_of(blobs, "files/file-1") == data


@pytest.mark.parametrize("count", [0, 1, 5, 17])
async def test_a_stream_is_put_whole(blobs: Blobs, count: int) -> None:
    assert await blobs.put("files/stream", pieces(count)) == count * MIB
    assert await all_of(blobs, "files/stream") == PIECE * count


async def test_a_read_yields_pieces_of_a_mib_at_most(blobs: Blobs) -> None:
    await blobs.put("a", PIECE * 9)
    sizes = [len(piece) async for piece in blobs.read("a")]
    assert max(sizes) <= MIB
    assert sum(sizes) == 9 * MIB


@pytest.mark.parametrize(
    "between", [(0, 5), (3, 8), (10,), (MIB - 3, 6 * MIB + 5), (8 * MIB, 99 * MIB), (99 * MIB,)]
)
async def test_a_part_of_a_blob_is_read(blobs: Blobs, between: tuple[int, ...]) -> None:
    data = PIECE * 9 + b"the end"
    await blobs.put("a/b", data)
    start, end = between[0], between[1] if len(between) > 1 else len(data)
    assert await all_of(blobs, "a/b", *between) == data[start:end]


async def test_a_read_may_end_early(blobs: Blobs) -> None:
    await blobs.put("a", PIECE * 9)
    reading = blobs.read("a")
    first = await anext(reading)
    await reading.aclose()
    assert PIECE.startswith(first)
    assert await blobs.size("a") == 9 * MIB


async def test_what_is_not_there_is_missing(blobs: Blobs) -> None:
    await blobs.put("a/b", b"x")
    assert await blobs.size("a/c") is None
    assert await blobs.size("b/c") is None
    for key in ("a/c", "b/c"):
        with pytest.raises(BlobMissing):
            await all_of(blobs, key)


async def test_a_blob_replaces_an_older_one(blobs: Blobs) -> None:
    await blobs.put("a", b"long, long ago")
    await blobs.put("a", b"now")
    assert await all_of(blobs, "a") == b"now"


@pytest.mark.parametrize("fails_after", [0, 1, 12])
async def test_a_source_that_fails_leaves_nothing(blobs: Blobs, fails_after: int) -> None:
    with pytest.raises(LookupError, match="went away"):
        await blobs.put("files/broken", pieces(20, fails_after))
    assert await blobs.size("files/broken") is None
    assert await keys_of(blobs, "") == []


async def test_a_source_that_fails_leaves_the_older_one(blobs: Blobs) -> None:
    await blobs.put("a", b"as it was")
    with pytest.raises(LookupError):
        await blobs.put("a", pieces(9, 8))
    assert await all_of(blobs, "a") == b"as it was"


@pytest.mark.parametrize("size", [0, 2 * MIB, 9 * MIB])
async def test_a_put_that_is_cancelled_leaves_nothing(blobs: Blobs, size: int) -> None:
    asked_again = asyncio.Event()

    async def never_ends() -> AsyncIterator[bytes]:
        for _ in range(size // MIB):
            yield PIECE
        asked_again.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(blobs.put("a", never_ends()))
    await asked_again.wait()
    putting.cancel()
    await asyncio.wait({putting})
    assert putting.cancelled()
    assert await keys_of(blobs, "") == []


async def test_keys_come_in_their_order(blobs: Blobs) -> None:
    names = ["a.b", "a/b/c", "a/b0", "a0", "b/1", "b/10", "b/2", "b-1/x", "B", "_"]
    for name in names:
        await blobs.put(name, b"x")
    assert await keys_of(blobs, "") == sorted(names)
    assert await keys_of(blobs, "b/1") == ["b/1", "b/10"]
    assert await keys_of(blobs, "a") == ["a.b", "a/b/c", "a/b0", "a0"]
    assert await keys_of(blobs, "a/b/") == ["a/b/c"]
    assert await keys_of(blobs, "nothing/") == []


async def test_what_is_deleted_is_gone_and_may_be_deleted_again(blobs: Blobs) -> None:
    for number in range(3):
        await blobs.put(f"until/{number}/x", b"x")
    for _ in range(2):
        await blobs.delete(["until/0/x", "until/2/x", "never/was"])
        assert await keys_of(blobs, "until/") == ["until/1/x"]
    await blobs.put("until/0/x", b"again")
    assert await all_of(blobs, "until/0/x") == b"again"


async def test_many_at_once(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one step of a deletion, and of a bucket's page."""
    monkeypatch.setattr(s3, "_PAGE", 100)
    keys = [f"until/{number % 7}/{number:04d}" for number in range(230)]
    await asyncio.gather(*(blobs.put(key, key.encode()) for key in keys))
    assert await keys_of(blobs, "until/") == sorted(keys)
    assert await all_of(blobs, keys[200]) == keys[200].encode()
    await blobs.delete(keys[1:])
    assert await keys_of(blobs, "") == keys[:1]


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/..", "a/./b", "a\0b", "a b", "ä", "a" * 201, "a\n"]
)
async def test_what_is_no_key_is_refused(blobs: Blobs, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        await blobs.put(key, b"x")
    with pytest.raises(ValueError, match="no key"):
        await all_of(blobs, key)
    with pytest.raises(ValueError, match="no key"):
        await blobs.delete([key])


async def test_it_is_well(blobs: Blobs) -> None:
    assert await blobs.health() is None


async def test_a_second_process_sees_the_same(
    blobs: Blobs, config: BlobsConfig, tmp_path: Path
) -> None:
    async with opened(config, tmp_path) as other:
        await blobs.put("a", b"x")
        assert await all_of(other, "a") == b"x"
        await other.put("a", b"y")
    assert await all_of(blobs, "a") == b"y"
