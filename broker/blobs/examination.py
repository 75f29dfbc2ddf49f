"""The examination of the place of blobs: a blob is written, found, read and deleted there."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from broker.blobs.opening import default_directory, open_blobs
from broker.findings import Examined, Finding
from broker.free_space import examine_space
from broker.ports import Blobs
from schemas.config import Config
from schemas.errors import BlobMissing, ConfigError, EngineError

PART = "Blobs"
EXAMINATION_S = 60
_ADVICE = {
    "s3": "look at blobs.s3: its keys must be allowed to put, get, list and delete",
    "directory": "set blobs.directory to one that this user can write to, or blobs.s3",
}


async def examine(config: Config) -> list[Finding]:
    """Return what is found at the place; a directory that is not there yet is not made."""
    examined = Examined(PART)
    if config.blobs.s3 is not None:
        await _try_out(examined, config, f"bucket {config.blobs.s3.bucket}")
        return examined.findings
    directory = Path(config.blobs.directory or default_directory(config.server.data_dir))
    await _directory(examined, config, directory)
    if not config.server.embedded:
        examined.note(
            "shared",
            "every api and worker must see this directory as the same one; not known here",
            "mount one volume at blobs.directory of all of them, or set blobs.s3",
        )
    return examined.findings


async def _directory(examined: Examined, config: Config, directory: Path) -> None:
    if not await asyncio.to_thread(directory.exists):
        await asyncio.to_thread(_not_yet, examined, directory)
    elif await _try_out(examined, config, str(directory)):
        await asyncio.to_thread(
            examine_space, examined, directory, kept="free", below="nothing is put there"
        )


async def _try_out(examined: Examined, config: Config, place: str) -> bool:
    advice = _ADVICE["directory" if config.blobs.s3 is None else "s3"]
    try:
        blobs = open_blobs(config.blobs, config.server.data_dir)
        await blobs.start()
    except ConfigError as error:
        examined.fail("usable", str(error), advice)
        return False
    try:
        async with asyncio.timeout(EXAMINATION_S):
            await probe(blobs)
    except (EngineError, TimeoutError) as error:
        said = str(error) or f"not done after {EXAMINATION_S} s"
        examined.fail("usable", said, advice)
        return False
    finally:
        await blobs.stop()
    examined.ok("usable", f"{place}: a blob was written, found, read and deleted")
    return True


async def probe(blobs: Blobs) -> None:
    """Use a place once in every way. Raises EngineError."""
    data = secrets.token_bytes(64)
    key = f"doctor/{data[:8].hex()}"
    await blobs.put(key, data)
    try:
        if [found async for found in blobs.keys(key)] != [key]:
            raise BlobMissing("A blob that was just written is not listed.")
        if b"".join([piece async for piece in blobs.read(key)]) != data:
            raise BlobMissing("A blob that was just written reads differently.")
    finally:
        await blobs.delete([key])
    if await blobs.size(key) is not None:
        raise BlobMissing("A blob that was just deleted is still there.")


def _not_yet(examined: Examined, directory: Path) -> None:
    place = next(each for each in directory.absolute().parents if each.exists())
    if os.access(place, os.W_OK | os.X_OK):
        examined.ok("usable", f"{directory.absolute()} will be made at the first start")
    else:
        examined.fail(
            "usable", f"this user cannot make {directory.absolute()}", _ADVICE["directory"]
        )
