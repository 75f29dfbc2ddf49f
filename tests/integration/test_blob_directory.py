"""The directory of blobs: what crashes leave, what it refuses, what it costs."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from broker.blobs.directory import DirectoryBlobs
from broker.free_space import Floor
from schemas.errors import BlobsUnavailable, ConfigError, StorageFull

MIB = 1024 * 1024
# Writes without end; says so once a part of it is on the disk.
_WRITER = """
import asyncio, sys
from broker.blobs.directory import DirectoryBlobs

async def endless():
    while True:
        yield bytes(1024 * 1024)
        print("wrote", flush=True)
        await asyncio.sleep(0)

async def main():
    blobs = DirectoryBlobs(sys.argv[1])
    await blobs.start()
    await blobs.put("files/x", endless())

asyncio.run(main())
"""


@pytest.fixture
async def blobs(tmp_path: Path) -> AsyncIterator[DirectoryBlobs]:
    place = DirectoryBlobs(tmp_path / "blobs")
    await place.start()
    yield place
    await place.stop()


async def mib(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield bytes(MIB)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unfinished(blobs: DirectoryBlobs) -> list[str]:
    return names(blobs.path / "unfinished")


async def test_what_a_dead_writer_leaves_goes_at_the_next_start(tmp_path: Path) -> None:
    """But not what a living one is writing."""
    blobs = DirectoryBlobs(tmp_path / "blobs")
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(blobs.path), stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        assert await writer.stdout.readline() == b"wrote\n"
        await blobs.start()
        assert len(unfinished(blobs)) == 1
    finally:
        writer.kill()
        await writer.communicate()
    await blobs.stop()
    assert len(unfinished(blobs)) == 1
    await blobs.start()
    assert not unfinished(blobs)
    assert [key async for key in blobs.keys("")] == []
    await blobs.stop()


async def test_nothing_stays_beside_what_was_put(blobs: DirectoryBlobs) -> None:
    await blobs.put("a/b", b"x")
    assert not unfinished(blobs)
    assert (blobs.path / "kept" / "a" / "b").stat().st_mode & 0o777 == 0o600


async def test_an_empty_folder_goes_with_its_last_blob(blobs: DirectoryBlobs) -> None:
    await blobs.put("until/1/a", b"x")
    await blobs.put("until/2/a", b"x")
    await blobs.delete(["until/1/a"])
    assert names(blobs.path / "kept" / "until") == ["2"]
    await blobs.delete(["until/2/a"])
    assert names(blobs.path / "kept") == []


async def test_puts_beside_deletions_of_the_same_folder(blobs: DirectoryBlobs) -> None:
    """A folder that is tidied away under a put is made again."""

    async def come_and_go(number: int) -> None:
        for _ in range(30):
            await blobs.put(f"until/1/{number}", b"x")
            await blobs.delete([f"until/1/{number}"])

    await asyncio.gather(*(come_and_go(number) for number in range(6)))
    assert [key async for key in blobs.keys("")] == []


@pytest.mark.parametrize("key", ["out/secret", "file"])
async def test_links_are_not_followed(blobs: DirectoryBlobs, tmp_path: Path, key: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (blobs.path / "kept" / "out").symlink_to(outside)
    (blobs.path / "kept" / "file").symlink_to(outside / "secret")
    with pytest.raises(BlobsUnavailable):
        await anext(blobs.read(key))
    with pytest.raises(BlobsUnavailable):
        await blobs.put("out/new", b"x")
    with pytest.raises(BlobsUnavailable):
        await blobs.delete(["out/secret"])
    assert [key async for key in blobs.keys("")] == []
    assert names(outside) == ["secret"]


async def test_a_place_that_is_gone_is_no_blob_that_is_missing(blobs: DirectoryBlobs) -> None:
    """As when a volume is not mounted."""
    await blobs.put("a", b"x")
    blobs.path.rename(blobs.path.with_name("elsewhere"))
    with pytest.raises(BlobsUnavailable, match="not there"):
        await anext(blobs.read("a"))
    with pytest.raises(BlobsUnavailable):
        await blobs.size("a")
    with pytest.raises(BlobsUnavailable):
        await blobs.put("b", b"x")
    assert "cannot be written" in (await blobs.health() or "")
    blobs.path.with_name("elsewhere").rename(blobs.path)
    assert await blobs.health() is None
    assert await anext(blobs.read("a")) == b"x"


async def test_below_the_floor_nothing_is_put_and_all_is_read(tmp_path: Path) -> None:
    roomy = DirectoryBlobs(tmp_path)
    await roomy.start()
    await roomy.put("a", b"x")
    await roomy.stop()
    full = DirectoryBlobs(tmp_path, Floor(bytes=1 << 62, share=1.0))
    await full.start()
    with pytest.raises(StorageFull, match="directory of blobs"):
        await full.put("b", b"x")
    assert await anext(full.read("a")) == b"x"
    assert not unfinished(full)
    await full.stop()


async def test_what_is_no_directory_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"blobs\.directory"):
        await DirectoryBlobs(tmp_path / "file").start()


async def test_a_step_that_hangs_is_told(
    blobs: DirectoryBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a network file system whose server is away."""
    monkeypatch.setattr("broker.blobs.directory._STEP_S", 0.05)
    await blobs.put("a", b"x")
    os.mkfifo(blobs.path / "kept" / "hangs")
    with pytest.raises(BlobsUnavailable, match=r"did not answer in 0\.05 s"):
        await anext(blobs.read("hangs"))
    # What nobody waits for any more comes to its end, or pytest's would be kept.
    os.close(os.open(blobs.path / "kept" / "hangs", os.O_WRONLY))


async def test_closed_is_told(tmp_path: Path) -> None:
    with pytest.raises(BlobsUnavailable, match="not open"):
        await DirectoryBlobs(tmp_path).put("a", b"x")


async def test_memory_is_flat(blobs: DirectoryBlobs) -> None:
    await blobs.put("warm", b"x")
    tracemalloc.start()
    try:
        await blobs.put("big", mib(64))
        assert sum([len(piece) async for piece in blobs.read("big")]) == 64 * MIB
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
