"""The bodies of requests whose clients may ask for them, kept as long as the result."""

from __future__ import annotations

import apsw

from broker.embedded.rows import Row
from schemas.envelope import Envelope
from schemas.record import BODY_KEPT, kept_body


def keep(file: apsw.Connection, seq: int, envelope: Envelope) -> None:
    """Store the body of a new request, if it is one of those; a batch's line is in its input."""
    if envelope.endpoint in BODY_KEPT and envelope.batch is None:
        kept = kept_body(envelope)
        file.execute("INSERT OR REPLACE INTO asked VALUES (?, NULL, ?)", (seq, kept))


def keep_until(file: apsw.Connection, row: Row, expires_at: float) -> None:
    """Say how long the body of an ended request stays."""
    if row.endpoint in BODY_KEPT:
        file.execute("UPDATE asked SET expires_at = ? WHERE seq = ?", (expires_at, row.seq))


def read(file: apsw.Connection, request_id: str, now: float) -> bytes | None:
    """Return the body of a request; None where there is none to be read."""
    query = (
        "SELECT a.body FROM requests q JOIN asked a ON a.seq = q.seq"
        " WHERE q.id = ? AND (a.expires_at IS NULL OR a.expires_at > ?)"
    )
    body: bytes | None = file.execute(query, (request_id, now)).get
    return body
