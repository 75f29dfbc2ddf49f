"""Reading a query string: bounded, every mistake named; and the pages of a list."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from api.exchange import Exchange, Reply, json_reply
from api.streams.cursor import NOTHING
from broker.ports import Selection
from schemas.errors import RequestError
from schemas.ids import is_request_id
from schemas.lifecycle import Status
from schemas.priority import Priority

_MAX_FIELDS = 20
_MAX_PAGE, _USUAL_PAGE = 100, 20
_MAX_DIGITS = 12
_PAGE = ("limit", "after", "order")
REQUEST_FILTERS = ("status", "model", "priority", "created_after", "created_before")
LETTER_FILTERS = ("model", "tenant", "created_after", "created_before")


def fields(exchange: Exchange) -> dict[str, str]:
    """Return the fields, the last of each name. Raises RequestError for what is no query."""
    try:
        pairs = parse_qsl(
            exchange.query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except ValueError:
        raise RequestError("invalid_body", "The query string cannot be read.") from None
    return dict(pairs)


def seconds(exchange: Exchange, name: str, most: float) -> float:
    """Return a duration from the query, clamped to 0 to `most`; 0 when it is not given."""
    text = fields(exchange).get(name) or "0"
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise RequestError("invalid_body", f"`{name}` must be seconds, 0 to {most:g}.", param=name)
    return min(max(number, 0.0), most)


def after_event(exchange: Exchange) -> int:
    """Return the event to go on behind, of `starting_after` or Last-Event-ID; -1: from the start.

    Raises RequestError, also when the two differ.
    """
    by_query = fields(exchange).get("starting_after")
    by_header = exchange.header("last-event-id") or None
    given = [text for text in (by_query, by_header) if text is not None]
    for text in given:
        if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
            raise RequestError(
                "invalid_body", "`starting_after` must be an event's number.", "starting_after"
            )
    numbers = {int(text) for text in given}
    if len(numbers) > 1:
        raise RequestError(
            "invalid_body", "`starting_after` and Last-Event-ID differ.", "starting_after"
        )
    return numbers.pop() if numbers else NOTHING


def number_in(text: str) -> float | None:
    """Return the finite number that `text` is, else None."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def named_priority(name: str, text: str | None) -> Priority | None:
    """Return the priority that `text` names. Raises RequestError, which calls it `name`."""
    if text is None:
        return None
    try:
        return Priority(text)
    except ValueError:
        allowed = ", ".join(Priority)
        raise RequestError("invalid_body", f"`{name}` must be one of {allowed}.", name) from None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list as it was asked for."""

    asked: dict[str, str]
    limit: int
    after: str | None
    newest_first: bool

    def selection(self, tenant: str | None) -> Selection:
        """Return what the list shows, of one tenant or of all. Raises RequestError."""
        return Selection(
            tenant=tenant if tenant is not None else self.asked.get("tenant"),
            statuses=_statuses(self.asked.get("status")),
            model=self.asked.get("model"),
            priority=named_priority("priority", self.asked.get("priority")),
            created_after=instant("created_after", self.asked),
            created_before=instant("created_before", self.asked),
            newest_first=self.newest_first,
        )

    def reply(self, found: Sequence[object] | None, data: list[dict[str, Any]]) -> Reply:
        """Return the page; `found` holds one more than its limit where there are more.

        Raises RequestError when `after` names nothing.
        """
        if found is None:
            raise RequestError("invalid_body", "`after` names nothing of yours.", param="after")
        return _list_reply(data, self.limit)


def page(
    exchange: Exchange,
    filters: Sequence[str],
    is_id: Callable[[str], bool] = is_request_id,
    paging: Sequence[str] = _PAGE,
    *,
    most: int = _MAX_PAGE,
    usual: int = _USUAL_PAGE,
) -> Page:
    """Return the page that the query asks for; `is_id` tells what `after` may be.

    `most` is how long it can be, `usual` how long it is where the query does not say. Raises
    RequestError.
    """
    asked = fields(exchange)
    for name in asked:
        if name not in filters and name not in paging:
            known = ", ".join((*paging, *filters))
            raise RequestError(
                "invalid_body", f"There is no filter {name[:50]!r}; use {known}.", param=name[:50]
            )
    limit = limit_in(asked, most, usual)
    after = asked.get("after")
    if after is not None and not is_id(after):
        raise RequestError("invalid_body", "`after` must be an id of the list.", param="after")
    return Page(asked, limit, after, _newest_first(asked))


def items_page(exchange: Exchange, items: Sequence[dict[str, Any]]) -> Reply:
    """Return a page of a list that is whole, given oldest first. Raises RequestError."""
    asked = fields(exchange)
    limit, newest_first = limit_in(asked, _MAX_PAGE, _USUAL_PAGE), _newest_first(asked)
    left = list(reversed(items)) if newest_first else list(items)
    if (after := asked.get("after")) is not None:
        place = next((n for n, item in enumerate(left) if item["id"] == after), None)
        if place is None:
            raise RequestError("invalid_body", "`after` names no item of it.", param="after")
        left = left[place + 1 :]
    return _list_reply(left, limit)


def _list_reply(data: Sequence[dict[str, Any]], limit: int) -> Reply:
    shown = data[:limit]
    return json_reply(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0]["id"] if shown else None,
            "last_id": shown[-1]["id"] if shown else None,
            "has_more": len(data) > limit,
        }
    )


def limit_in(asked: Mapping[str, str], most: int, usual: int) -> int:
    """Return how long a page is asked to be, `usual` where it is not said. Raises RequestError."""
    limit = asked.get("limit", str(usual))
    if not limit.isascii() or not limit.isdigit() or not 1 <= int(limit[:9]) <= most:
        raise RequestError("invalid_body", f"`limit` must be 1 to {most}.", param="limit")
    return int(limit)


def _newest_first(asked: Mapping[str, str]) -> bool:
    order = asked.get("order", "desc")
    if order not in ("asc", "desc"):
        raise RequestError("invalid_body", "`order` must be asc or desc.", param="order")
    return order == "desc"


def _statuses(text: str | None) -> frozenset[Status]:
    if text is None:
        return frozenset()
    try:
        return frozenset(map(Status, text.split(",")))
    except ValueError:
        raise RequestError(
            "invalid_body", f"`status` must be one of {', '.join(Status)}.", param="status"
        ) from None


def instant(name: str, asked: dict[str, str]) -> float | None:
    """Return the Unix seconds of a filter, None if it is not given. Raises RequestError."""
    if name not in asked:
        return None
    number = number_in(asked[name])
    if number is None or number < 0:
        raise RequestError("invalid_body", f"`{name}` must be Unix seconds.", param=name)
    return number
