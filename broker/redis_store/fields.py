"""The record as a Redis hash: readable field names, absent where the default holds.

Short values keep the hash in Redis' compact form; the envelope and the result have their own keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgpack

from schemas.attempts import decode_history
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import BODY_KEPT, Record, kept_body
from schemas.result import decode_head, decode_result

# Written at birth where the envelope has them, under the same names.
_FLAGS = ("stream", "restart", "quiet")
_TEXTS = ("redrive_of", "reply_to", "correlation_id", "reply_as", "webhook", "batch")


def at_birth(envelope: Envelope) -> list[Any]:
    """Return the fields and values of a new record, alternating, as `birth_fields`."""
    return _flat(birth_fields(envelope))


def birth_fields(envelope: Envelope) -> dict[str, Any]:
    """Return the fields of a new record; the scripts add `status`.

    The last may be the body, which has a key of its own; a line's is in its batch's input.
    """
    fields: dict[str, Any] = {
        "tenant": envelope.tenant,
        "model": envelope.model,
        "endpoint": envelope.endpoint,
        "priority": envelope.priority.value,
        "accepted_at": repr(envelope.accepted_at),
        "deadline": repr(envelope.deadline),
        "body_hash": envelope.body_hash,
    }
    if envelope.not_before is not None:
        fields["not_before"] = repr(envelope.not_before)
    if envelope.generation:
        fields["generation"] = envelope.generation
    if envelope.held_by:
        fields["held_by"] = envelope.held_by
    if envelope.on_disconnect != "cancel":
        fields["on_disconnect"] = envelope.on_disconnect
    for name in _FLAGS:
        if getattr(envelope, name):
            fields[name] = 1
    for name in _TEXTS:
        if (value := getattr(envelope, name)) is not None:
            fields[name] = value
    if envelope.line is not None:
        fields["line"] = envelope.line
    if envelope.metadata:
        name, kept = _metadata_field(envelope)
        fields[name] = msgpack.packb(kept)
    if envelope.endpoint in BODY_KEPT and envelope.batch is None:
        fields["asked"] = kept_body(envelope)
    return fields


def apart(born: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[list[Any]]]:
    """Return what all of some new records have alike, to be sent once, and what each has beside.

    Both as fields and values, alternating.
    """
    first, *others = born
    shared = {
        name: value
        for name, value in first.items()
        if all(each.get(name) == value for each in others)
    }
    own = [{name: each[name] for name in each if name not in shared} for each in born]
    return _flat(shared), [_flat(each) for each in own]


def record_of(request_id: str, flat: Sequence[bytes], result: bytes | None) -> Record:
    """Return the record in the fields and values of its hash, alternating."""
    values = iter(flat)
    fields = dict(zip(values, values, strict=True))
    return Record(
        id=request_id,
        tenant=fields[b"tenant"].decode(),
        model=fields[b"model"].decode(),
        endpoint=fields[b"endpoint"].decode(),
        priority=Priority(fields[b"priority"].decode()),
        status=Status(fields[b"status"].decode()),
        accepted_at=float(fields[b"accepted_at"]),
        deadline=float(fields[b"deadline"]),
        # A message without a time of its own writes 0 over an older one's.
        not_before=_instant(fields, b"not_before") or None,
        generation=int(fields.get(b"generation", 0)),
        attempt=int(fields.get(b"attempt", 0)),
        poison=int(fields.get(b"poison", 0)),
        owner=_text(fields, b"owner"),
        published=b"published" in fields,
        held_by=_text(fields, b"held_by"),
        on_disconnect=_on_disconnect(fields),
        started_at=_instant(fields, b"started_at"),
        finished_at=_instant(fields, b"finished_at"),
        expires_at=_instant(fields, b"expires_at"),
        body_hash=fields.get(b"body_hash"),
        redrive_of=_text(fields, b"redrive_of"),
        redriven_as=_text(fields, b"redriven_as"),
        parked_for=_text(fields, b"parked_for"),
        history=decode_history(fields.get(b"history")),
        slot=_text(fields, b"slot"),
        stream=b"stream" in fields,
        restart=b"restart" in fields,
        reply_to=_text(fields, b"reply_to"),
        correlation_id=_text(fields, b"correlation_id"),
        reply_as=_text(fields, b"reply_as"),
        replied=b"replied" in fields,
        webhook=_text(fields, b"webhook"),
        batch=_text(fields, b"batch"),
        line=int(fields[b"line"]) if b"line" in fields else None,
        quiet=b"quiet" in fields,
        metadata=_metadata(fields),
        result=decode_result(result) if result else None,
    )


def listed_record(request_id: str, flat: Sequence[bytes], head: bytes) -> Record:
    """Return the record for a list: with its result's first bytes only."""
    record = record_of(request_id, flat, None)
    return replace(record, result=decode_head(head)) if head else record


def _flat(fields: Mapping[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def _text(fields: dict[bytes, bytes], name: bytes) -> str | None:
    value = fields.get(name)
    return None if value is None else value.decode()


def _instant(fields: dict[bytes, bytes], name: bytes) -> float | None:
    value = fields.get(name)
    return None if value is None else float(value)


def _on_disconnect(fields: dict[bytes, bytes]) -> Literal["cancel", "finish"]:
    return "finish" if fields.get(b"on_disconnect") == b"finish" else "cancel"


def _metadata_field(envelope: Envelope) -> tuple[str, dict[str, str]]:
    """Return where the metadata are kept: a line's without its batch's id, which is there anyway.

    With it the value would be too long for Redis' compact form of the hash.
    """
    kept = dict(envelope.metadata)
    if envelope.batch is None or kept.get("batch_id") != envelope.batch:
        return "metadata", kept
    del kept["batch_id"]
    return "line_metadata", kept


def _metadata(fields: dict[bytes, bytes]) -> dict[str, str]:
    known: dict[str, str] = {}
    if (packed := fields.get(b"line_metadata")) is not None:
        known["batch_id"] = fields[b"batch"].decode()
    else:
        packed = fields.get(b"metadata")
    return known if packed is None else known | msgpack.unpackb(packed)
