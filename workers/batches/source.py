"""A batch's input file, line by line, and the requests that its lines are."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

import orjson
import structlog

from broker.blobs.lines import RawLine, UnreadableFile, lines_of
from broker.lifecycle import backoff
from broker.ports import Blobs, Files
from schemas.batches import BatchTerms, Cursor, LineError
from schemas.envelope import Envelope
from schemas.errors import BlobMissing, EngineError
from schemas.ids import line_id
from schemas.priority import Lane, Priority
from workers.batches.asked import AskedLine

_log = structlog.get_logger("penstock.batches")
# More than any line has that was found good.
_MAX_LINE_BYTES = 32 * 1024 * 1024

GONE = LineError(
    "input_file_missing",
    "The input file is gone, so that the rest of the batch cannot be run; upload it again.",
)


class InputGone(Exception):
    """The input file cannot be read any more."""


class Source:
    """The input of one batch."""

    def __init__(self, files: Files, blobs: Blobs, terms: BatchTerms) -> None:
        self._files = files
        self._blobs = blobs
        self._terms = terms

    async def lines(self, start: Cursor) -> AsyncGenerator[RawLine]:
        """Yield the lines from `start` on; a place that is away is waited for.

        Raises InputGone.
        """
        cursor, pauses = start, backoff()
        while True:
            try:
                async with aclosing(self._read(cursor)) as lines:
                    async for line in lines:
                        cursor = line.cursor_after
                        yield line
                return
            except (BlobMissing, UnreadableFile) as error:
                raise InputGone from error
            except EngineError as error:
                _log.warning("an input cannot be read", batch=self._terms.id, error=str(error))
            await asyncio.sleep(next(pauses))

    async def _read(self, start: Cursor) -> AsyncGenerator[RawLine]:
        parts = await self._files.parts(self._terms.input_file_id)
        if not parts:
            raise InputGone
        async with aclosing(lines_of(self._blobs, parts, start, _MAX_LINE_BYTES)) as lines:
            async for line in lines:
                yield line


def envelope_of(terms: BatchTerms, line: int, asked: AskedLine, lane: Lane, now: float) -> Envelope:
    """Return the request that a line is; made twice it has the same id."""
    return replace(
        _named_envelope(terms, line, asked.model, asked.custom_id, now),
        body=asked.body,
        body_hash=hashlib.sha256(terms.endpoint.encode() + b"\n" + asked.body).digest(),
        model_span=asked.model_span,
        lane=lane,
        input_tokens=asked.input_tokens,
        max_tokens=asked.max_tokens,
    )


def unservable(terms: BatchTerms, line: int, data: bytes | None, now: float) -> Envelope:
    """Return the request of a line that will not run, so that its end can be told."""
    model, custom_id = _named(data)
    return _named_envelope(terms, line, model, custom_id, now)


def custom_id_of(data: bytes | None) -> str | None:
    """Return the `custom_id` of a line that was found good."""
    return _named(data)[1]


def _named_envelope(
    terms: BatchTerms, line: int, model: str, custom_id: str | None, now: float
) -> Envelope:
    """Return the request of a line without a body."""
    known = {} if custom_id is None else {"custom_id": custom_id}
    return Envelope(
        id=line_id(terms.id, line),
        tenant=terms.tenant,
        key_id=terms.key_id,
        model=model,
        endpoint=terms.endpoint,
        priority=Priority.BATCH,
        accepted_at=now,
        deadline=terms.deadline,
        body=b"",
        body_hash=b"",
        batch=terms.id,
        line=line,
        quiet=not terms.line_events,
        metadata={"batch_id": terms.id, **known},
    )


def _named(data: bytes | None) -> tuple[str, str | None]:
    """Return the names of the model and of the line; those of a good file are there."""
    try:
        members = orjson.loads(data or b"")
        return str(members["body"]["model"]), str(members["custom_id"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "unknown", None
