"""Pages as Anthropic's lists have them: after an entry, or before one; no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.exchange import Exchange, Reply, json_reply
from api.query import fields, limit_in
from schemas.batches import Batch
from schemas.errors import RequestError
from schemas.ids import batch_id_of, message_batch_id
from schemas.message_batches import message_batch

_MAX_PAGE = 1_000
_USUAL_PAGE = 20
_CURSORS = ("after_id", "before_id")


@dataclass(frozen=True, slots=True)
class BatchPage:
    """One page of batches as it was asked for: `limit` of them behind `beyond`, going one way."""

    limit: int
    cursor: str | None
    beyond: str | None
    newest_first: bool

    def reply(self, found: Sequence[Batch] | None, origin: str) -> Reply:
        """Return the page, newest first; `found` holds one more than its limit if there are more.

        Raises RequestError when the cursor names nothing.
        """
        if found is None:
            raise _unknown(self.cursor)
        shown = found[: self.limit]
        if not self.newest_first:
            shown = shown[::-1]
        return json_reply(
            {
                "data": [message_batch(batch, origin) for batch in shown],
                "first_id": message_batch_id(shown[0].id) if shown else None,
                "last_id": message_batch_id(shown[-1].id) if shown else None,
                "has_more": len(found) > self.limit,
            }
        )


def asked_page(exchange: Exchange) -> BatchPage:
    """Return the page that the query asks for; what else is in it is for others.

    Raises RequestError.
    """
    asked = fields(exchange)
    cursors = [name for name in _CURSORS if name in asked]
    if len(cursors) > 1:
        raise RequestError("invalid_body", "Send `after_id` or `before_id`, not both.", "before_id")
    cursor = cursors[0] if cursors else None
    beyond = None if cursor is None else batch_id_of(asked[cursor])
    if cursor is not None and beyond is None:
        raise _unknown(cursor)
    limit = limit_in(asked, _MAX_PAGE, _USUAL_PAGE)
    return BatchPage(limit, cursor, beyond, newest_first=cursor != "before_id")


def _unknown(cursor: str | None) -> RequestError:
    return RequestError("invalid_body", f"`{cursor}` names no batch of yours.", cursor)
