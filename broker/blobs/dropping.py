"""Forgetting files together with their bytes."""

from __future__ import annotations

import structlog

from broker.ports import Blobs, Files
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.files")
_AT_ONCE = 200


async def drop_file(files: Files, blobs: Blobs, file_id: str) -> None:
    """Forget a file and its bytes; what of these cannot be deleted now stays, and costs room."""
    parts = await files.delete(file_id)
    try:
        await blobs.delete([part.key for part in parts])
    except EngineError as error:
        _log.warning("bytes without a file stay", file=file_id, error=str(error))


async def drop_expired(files: Files, blobs: Blobs) -> int:
    """Drop every file that is past its time, and return how many; none while blobs are away.

    Nobody would find their bytes again.
    """
    dropped = 0
    if await blobs.health() is not None:
        return dropped
    while expired := await files.expired(_AT_ONCE):
        for file_id in expired:
            await drop_file(files, blobs, file_id)
        dropped += len(expired)
    return dropped
