"""Rows of the table `batches` and what the rest of Penstock calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from typing import Any, NamedTuple

import apsw
import msgpack

from schemas.batches import (
    Batch,
    BatchStatus,
    BatchTerms,
    BatchUsage,
    Counts,
    Cursor,
    LineError,
)

_INSERT = """
INSERT INTO batches (id, tenant, created_at, dialect, in_order, terms, status, times, errors, total)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""


class BatchRow(NamedTuple):
    """One row, in the order of the columns as the migrations make them."""

    seq: int
    id: str
    tenant: str
    created_at: float
    dialect: str
    in_order: int
    terms: bytes
    status: str
    times: bytes
    errors: bytes
    total: int
    model: str | None
    made: int
    fed_line: int
    fed_offset: int
    fed_physical: int
    completed: int
    failed: int
    cancelled: int
    expired: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    rate: float
    paused: int
    has_output: int
    has_errors: int
    told: int
    token: int
    owner: str | None
    held_until: float
    gathered_to: int
    expires_at: float | None


def insert(file: apsw.Connection, batch: Batch) -> bool:
    """Insert a new batch; False if its id is taken."""
    terms = batch.terms
    values = (
        terms.id,
        terms.tenant,
        terms.created_at,
        terms.dialect,
        int(terms.order == "input"),
        msgpack.packb(asdict(terms) | {"metadata": dict(terms.metadata)}),
        batch.status.value,
        encode_times(batch.times),
        encode_errors(batch.errors),
        batch.total,
    )
    file.execute(_INSERT, values)
    return file.changes() == 1


def find(file: apsw.Connection, batch_id: str) -> BatchRow | None:
    """Return the row of a batch, also one past its retention."""
    found = file.execute("SELECT * FROM batches WHERE id = ?", (batch_id,)).get
    return None if found is None else BatchRow(*found)


def find_held(file: apsw.Connection, batch_id: str, token: int) -> BatchRow | None:
    """Return the row of a batch unless a newer hold than that of `token` was given."""
    row = find(file, batch_id)
    return row if row is not None and row.token == token else None


def readable(row: BatchRow | None, now: float) -> bool:
    """Tell whether a batch is there and not past its retention."""
    return row is not None and (row.expires_at is None or row.expires_at > now)


def batch_of(row: BatchRow) -> Batch:
    """Return the batch; what a later version has added to its terms is left out."""
    kept = msgpack.unpackb(row.terms)
    known = {name: kept[name] for name in BatchTerms.__dataclass_fields__ if name in kept}
    return Batch(
        terms=BatchTerms(**known),
        status=BatchStatus(row.status),
        times=times_of(row),
        errors=tuple(LineError(*each) for each in msgpack.unpackb(row.errors)),
        total=row.total,
        model=row.model,
        made=row.made,
        fed=Cursor(row.fed_line, row.fed_offset, row.fed_physical),
        counts=Counts(row.completed, row.failed, row.cancelled, row.expired),
        usage=BatchUsage(
            row.input_tokens, row.output_tokens, row.cached_tokens, row.reasoning_tokens
        ),
        rate=row.rate,
        paused=bool(row.paused),
        has_output=bool(row.has_output),
        has_errors=bool(row.has_errors),
        told=bool(row.told),
    )


def times_of(row: BatchRow) -> dict[BatchStatus, float]:
    """Return when it has entered each status."""
    kept: dict[str, Any] = msgpack.unpackb(row.times)
    return {BatchStatus(status): at for status, at in kept.items()}


def encode_times(times: Mapping[BatchStatus, float]) -> bytes:
    """Return the bytes of such instants."""
    packed: bytes = msgpack.packb({status.value: at for status, at in times.items()})
    return packed


def encode_errors(errors: Sequence[LineError]) -> bytes:
    """Return the bytes of mistakes in a file."""
    packed: bytes = msgpack.packb([astuple(each) for each in errors])
    return packed
