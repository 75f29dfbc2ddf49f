"""Bodies and results over 256 KiB: set aside into blobs by their makers, fetched where needed.

Nothing deletes them when their request ends: their hour comes (see `schemas.large`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import replace

import structlog

from broker.persistence import persistently
from broker.ports import Engine
from schemas.envelope import Envelope
from schemas.errors import BlobMissing, EngineError
from schemas.large import (
    LARGE_BYTES,
    PREFIX,
    blob_of_kept,
    body_hour,
    body_key,
    is_past,
    result_hour,
    result_key,
)
from schemas.record import Record
from schemas.request import MAX_INLINE_BODY_BYTES
from schemas.result import Result

_log = structlog.get_logger("penstock.large_bodies")
# A result that cannot be set aside in that time is committed as a whole.
_RESULT_S = 30.0
_DROPPED_AT_ONCE = 500


async def set_aside(engine: Engine, envelope: Envelope, retention_s: float) -> Envelope:
    """Return the envelope as it travels: with its body in a blob if that is large.

    Raises EngineError.
    """
    if len(envelope.body) <= LARGE_BYTES:
        return envelope
    key = _new_key(envelope, retention_s)
    await engine.blobs.put(key, envelope.body)
    return envelope.apart(key)


async def carried_over(engine: Engine, redriven: Envelope, retention_s: float) -> Envelope:
    """Return a redriven envelope with a copy of its body that is kept for as long as it needs.

    Raises BlobMissing, EngineError.
    """
    if redriven.body_blob is None:
        return redriven
    key = _new_key(redriven, retention_s)
    await engine.blobs.put(key, engine.blobs.read(redriven.body_blob))
    return replace(redriven, body_blob=key)


async def with_body(engine: Engine, envelope: Envelope) -> Envelope:
    """Return the envelope with its body in it. Raises BlobMissing, EngineError."""
    if envelope.body_blob is None:
        return envelope
    return envelope.together(await _fetched(engine, envelope.body_blob, envelope.body_bytes))


async def drop_body(engine: Engine, envelope: Envelope) -> None:
    """Forget the body of a request that was refused; one that stays only costs room."""
    if envelope.body_blob is not None:
        with contextlib.suppress(EngineError):
            await engine.blobs.delete([envelope.body_blob])


async def result_aside(
    engine: Engine,
    request_id: str,
    attempt: int,
    result: Result,
    retention_s: float,
    *,
    dead_letter: bool,
) -> Result:
    """Return the result as it is committed: with its body in a blob if that is large.

    As it is where that cannot be: an end must not wait for anything but the store.
    """
    if result.body is None or len(result.body) <= LARGE_BYTES:
        return result
    hour = result_hour(result.finished_at, retention_s, dead_letter=dead_letter)
    key = result_key(hour, request_id, attempt)
    try:
        async with asyncio.timeout(_RESULT_S):
            await engine.blobs.put(key, result.body)
    except (EngineError, TimeoutError) as error:
        _log.warning("keeps a large result in the store", request=request_id, error=str(error))
        return result
    return replace(result, body=None, body_blob=key, body_bytes=len(result.body))


async def whole(engine: Engine, record: Record, most: int | None = None) -> Record:
    """Return the record with its result's body in it, unless that is over `most` bytes.

    One whose blob is gone stays without. Raises EngineError.
    """
    result = record.result
    if result is None or result.body_blob is None or result.body is not None:
        return record
    if most is not None and result.body_bytes > most:
        return record
    try:
        body = await _fetched(engine, result.body_blob, result.body_bytes)
    except BlobMissing as error:
        _log.error("a result is lost", request=record.id, error=str(error))
        return record
    return replace(record, result=replace(result, body=body))


async def inlined(engine: Engine, record: Record) -> Record:
    """Return the record as request objects tell it; without the body while that is away."""
    try:
        return await whole(engine, record, MAX_INLINE_BODY_BYTES)
    except EngineError as error:
        _log.warning("tells a result without its body", request=record.id, error=str(error))
        return record


async def inlined_at_last(engine: Engine, record: Record) -> Record:
    """Return the same for an answer that is given once: when the place of blobs answers."""
    return await persistently(
        lambda: whole(engine, record, MAX_INLINE_BODY_BYTES), "fetch the result"
    )


async def asked_of(engine: Engine, request_id: str) -> bytes | None:
    """Return the kept body of a request, wherever it lies; None where there is none."""
    kept = await engine.store.asked(request_id)
    key = blob_of_kept(kept) if kept is not None else None
    if key is None:
        return kept
    try:
        return await _fetched(engine, key, 0)
    except BlobMissing:
        return None


async def forget(engine: Engine, request_id: str) -> None:
    """Let an ended request read as unknown, with all that is kept of it. Raises EngineError.

    The answer of a batch's line stays until its hour: it may not be in the output yet.
    """
    kept = await engine.store.asked(request_id)
    record = await engine.store.get(request_id)
    result = record.result if record is not None and record.batch is None else None
    keys = (blob_of_kept(kept) if kept is not None else None, result and result.body_blob)
    await engine.blobs.delete([key for key in keys if key])
    await engine.store.forget(request_id)


async def drop_past(engine: Engine, now: float) -> int:
    """Delete the blobs whose hour has come, and return how many. Raises EngineError."""
    dropped, batch = 0, list[str]()
    async for key in engine.blobs.keys(PREFIX):
        # They come in the order of their hours.
        if not is_past(key, now):
            break
        batch.append(key)
        if len(batch) == _DROPPED_AT_ONCE:
            await engine.blobs.delete(batch)
            dropped, batch = dropped + len(batch), []
    await engine.blobs.delete(batch)
    return dropped + len(batch)


def _new_key(envelope: Envelope, retention_s: float) -> str:
    hour = body_hour(envelope.deadline, retention_s)
    return body_key(hour, envelope.id, secrets.token_hex(4))


async def _fetched(engine: Engine, key: str, size: int) -> bytes:
    """Return a whole blob; one of another size is not the one that was put."""
    body = b"".join([piece async for piece in engine.blobs.read(key)])
    if size and len(body) != size:
        raise BlobMissing(f"{key} has {len(body)} bytes instead of {size}.")
    return body
