"""The outbox in the file: what ended, for several readers, each behind its own cursor."""

from __future__ import annotations

from typing import Any

import apsw

from broker.embedded.rows import Row
from broker.ports import OutboxEntry, OutboxReader, Reservation
from schemas.lifecycle import Status
from schemas.result import Result

_TELL = """
INSERT INTO outbox (
    partition, request_id, status, backend, reservation, tokens, tenant, wants_webhook, wants_reply,
    quiet
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_READ = """
SELECT cursor, request_id, status, backend, reservation, tokens, tenant, wants_webhook, wants_reply,
    quiet
FROM outbox
WHERE partition = :partition AND (wants_reply = 1 OR :reader <> 'replies') AND cursor > coalesce(
    (SELECT cursor FROM outbox_cursors WHERE partition = :partition AND reader = :reader), 0)
ORDER BY cursor LIMIT :limit
"""
_MOVE = """
INSERT INTO outbox_cursors VALUES (?, ?, ?)
ON CONFLICT DO UPDATE SET cursor = max(cursor, excluded.cursor)
"""
_TRIM = """
DELETE FROM outbox WHERE partition = :partition AND cursor <= :all
    AND (wants_reply = 0 OR cursor <= :replies)
"""


def tell(
    file: apsw.Connection, row: Row, result: Result, held: Reservation | None, *, in_hand: bool
) -> None:
    """Add the end of a request; `in_hand` says that a worker ended it, who replies by itself."""
    values = (
        row.partition,
        row.id,
        result.status.value,
        held.backend if held else None,
        held.id if held else None,
        result.usage.total_tokens if result.usage else None,
        row.tenant,
        int(row.webhook is not None),
        int(row.reply_to is not None and not in_hand),
        row.quiet,
    )
    file.execute(_TELL, values)


def read(
    file: apsw.Connection, partition: int, limit: int, reader: OutboxReader
) -> list[tuple[str, OutboxEntry]]:
    """Return what `reader` has not done yet, oldest first."""
    found = file.execute(_READ, {"partition": partition, "limit": limit, "reader": reader})
    return [(str(cursor), _entry(values)) for cursor, *values in found]


def move(file: apsw.Connection, partition: int, cursor: int, reader: OutboxReader) -> None:
    """Move the cursor of `reader`, and drop what all have passed who find it."""
    file.execute(_MOVE, (partition, reader, cursor))
    query = "SELECT reader, cursor FROM outbox_cursors WHERE partition = ?"
    cursors = {str(name): int(at) for name, at in file.execute(query, (partition,))}
    passed = min(cursors.get("settler", 0), cursors.get("webhooks", 0))
    bindings = {"partition": partition, "all": passed, "replies": cursors.get("replies", 0)}
    file.execute(_TRIM, bindings)


def _entry(values: list[Any]) -> OutboxEntry:
    request_id, status, backend, reservation, tokens, tenant, *flags = values
    wants_webhook, wants_reply, quiet = map(bool, flags)
    return OutboxEntry(
        request_id,
        Status(status),
        Reservation(backend, reservation) if reservation is not None else None,
        tokens,
        tenant=tenant,
        wants_webhook=wants_webhook,
        wants_reply=wants_reply,
        quiet=quiet,
    )
