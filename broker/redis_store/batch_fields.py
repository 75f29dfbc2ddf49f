"""A batch as a Redis hash: its terms in one field, what changes in fields of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, astuple, fields
from typing import Any

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

_ENTERED = b"at:"
_COUNTS = tuple(field.name for field in fields(Counts))
_USAGE = tuple(field.name for field in fields(BatchUsage))
_TERMS = frozenset(field.name for field in fields(BatchTerms))


def at_first(batch: Batch) -> list[Any]:
    """Return the fields and values of a new batch, alternating."""
    terms = batch.terms
    known: dict[str, Any] = {
        "terms": msgpack.packb(asdict(terms)),
        # These the scripts read.
        "tenant": terms.tenant,
        "created_at": repr(terms.created_at),
        "dialect": terms.dialect,
        "order": terms.order,
        "status": batch.status.value,
        **{f"at:{status.value}": repr(at) for status, at in batch.times.items()},
    }
    if batch.total:
        known["total"] = batch.total
    if terms.line_events:
        known["line_events"] = 1
    return [part for pair in known.items() for part in pair]


def errors_field(errors: Sequence[LineError]) -> list[Any]:
    """Return the field of a file's mistakes and its value; nothing without mistakes."""
    return ["errors", msgpack.packb([astuple(each) for each in errors])] if errors else []


def validated_fields(total: int, model: str | None) -> list[Any]:
    """Return the fields and values that a validation adds."""
    return ["total", total] + ([] if model is None else ["model", model])


def cursor_value(cursor: Cursor) -> bytes:
    """Return the bytes of a cursor."""
    packed: bytes = msgpack.packb(astuple(cursor))
    return packed


def added(counts: Counts, usage: BatchUsage) -> dict[str, int]:
    """Return by how much each field grows."""
    return {name: number for name, number in {**asdict(counts), **asdict(usage)}.items() if number}


def batch_of(flat: Sequence[bytes]) -> Batch:
    """Return the batch in the fields and values of its hash, alternating."""
    values = iter(flat)
    known = dict(zip(values, values, strict=True))
    terms: dict[str, Any] = msgpack.unpackb(known[b"terms"])
    model = known.get(b"model")
    return Batch(
        # What a later version has added is left out.
        terms=BatchTerms(**{name: value for name, value in terms.items() if name in _TERMS}),
        status=BatchStatus(known[b"status"].decode()),
        times={
            BatchStatus(name.removeprefix(_ENTERED).decode()): float(at)
            for name, at in known.items()
            if name.startswith(_ENTERED)
        },
        errors=tuple(LineError(*each) for each in _unpacked(known, b"errors")),
        total=int(known.get(b"total", 0)),
        model=None if model is None else model.decode(),
        made=int(known.get(b"made", 0)),
        fed=Cursor(*_unpacked(known, b"fed")),
        counts=Counts(*(int(known.get(name.encode(), 0)) for name in _COUNTS)),
        usage=BatchUsage(*(int(known.get(name.encode(), 0)) for name in _USAGE)),
        rate=float(known.get(b"rate", 0)),
        paused=b"paused" in known,
        has_output=b"has_output" in known,
        has_errors=b"has_errors" in known,
        told=b"told" in known,
    )


def _unpacked(known: dict[bytes, bytes], name: bytes) -> Sequence[Any]:
    packed = known.get(name)
    values: Sequence[Any] = () if packed is None else msgpack.unpackb(packed)
    return values
