"""Batches and their lines, with everything filled in that a test does not care about."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

from schemas.batches import Batch, BatchStatus, BatchTerms
from schemas.envelope import Envelope
from schemas.files import StoredFile
from schemas.ids import line_id, new_batch_id, new_file_id
from schemas.priority import Priority

_DAY_S = 86_400.0


def make_batch(**changes: Any) -> Batch:
    """Return a new batch of `acme`, due in a day, its terms with `changes`."""
    now = time.time()
    plain = BatchTerms(
        id=new_batch_id(),
        tenant="acme",
        endpoint="/v1/chat/completions",
        input_file_id=new_file_id(),
        completion_window="24h",
        created_at=now,
        deadline=now + _DAY_S,
    )
    terms = replace(plain, **changes)
    return Batch(terms, times={BatchStatus.VALIDATING: terms.created_at})


def make_line(batch: Batch, line: int, **changes: Any) -> Envelope:
    """Return the envelope of a line, as the feeder makes it, with `changes`."""
    body = b'{"model": "m", "messages": [%d]}' % line
    terms = batch.terms
    plain = Envelope(
        id=line_id(batch.id, line),
        tenant=terms.tenant,
        model="m",
        endpoint=terms.endpoint,
        priority=Priority.BATCH,
        accepted_at=time.time(),
        deadline=terms.deadline,
        body=body,
        body_hash=hashlib.sha256(body).digest(),
        key_id=terms.key_id,
        batch=batch.id,
        line=line,
        quiet=not terms.line_events,
        metadata={"batch_id": batch.id, "custom_id": f"line {line}"},
    )
    return replace(plain, **changes)


def make_file(**changes: Any) -> StoredFile:
    """Return an uploaded file of `acme`, kept for a day, with `changes`."""
    now = time.time()
    plain = StoredFile(
        id=new_file_id(),
        tenant="acme",
        purpose="batch",
        filename="lines.jsonl",
        bytes=10,
        created_at=now,
        expires_at=now + _DAY_S,
    )
    return replace(plain, **changes)
