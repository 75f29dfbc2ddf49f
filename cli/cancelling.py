"""`penstock cancel`: by id, or all that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import orjson

from cli.choosing import Answer, confirmed, for_each
from cli.client import Access, Client, connect
from cli.outcome import FAILED, OK, exit_code_of
from cli.progress import Bar
from cli.showing import cell, print_json, say

_OPEN = ("queued", "in_progress")
# As many are cancelled without a question, and counted for one.
_UNASKED, _COUNTED = 100, 1_000


def cancel_named(access: Access, ids: Sequence[str], *, as_json: bool) -> int:
    """Cancel requests by id; return the exit code."""

    async def work() -> int:
        async with connect(access) as client:
            return await _cancel(client, ids, as_json=as_json)

    return exit_code_of(work())


@dataclass(frozen=True, slots=True)
class Filters:
    """Which open requests are meant; with a tenant, those of that one (admin)."""

    model: str | None = None
    status: str | None = None
    priority: str | None = None
    created_after: float | None = None
    created_before: float | None = None
    tenant: str | None = None

    @property
    def given(self) -> dict[str, str | float]:
        """Those that were given."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def cancel_matching(access: Access, filters: Filters, *, yes: bool, as_json: bool) -> int:
    """Cancel every open request that fits, after a question where they are many."""

    async def work() -> int:
        async with connect(access) as client:
            count = None if filters.tenant is not None else await _count(client, filters)
            few = count is not None and count <= _UNASKED
            if not few and not confirmed(_question(count, filters), yes=yes):
                return FAILED
            cancelled = await _cancel_all(client, filters, count)
        if as_json:
            print_json({"cancelled": cancelled}, indented=False)
        else:
            print(f"{cancelled:,} cancelled")
        return OK

    return exit_code_of(work())


def _question(count: int | None, filters: Filters) -> str:
    if count is None:
        return f"Cancel every matching request of tenant {filters.tenant}?"
    return f"Cancel {'more than ' if count > _COUNTED else ''}{min(count, _COUNTED):,} requests?"


async def _count(client: Client, filters: Filters) -> int:
    """Return how many match, of very many only that they are more than a thousand."""
    asked = {name: str(value) for name, value in filters.given.items()}
    asked.setdefault("status", ",".join(_OPEN))
    return len([1 async for _ in client.pages("/v1/requests", asked, _COUNTED + 1)])


async def _cancel_all(client: Client, filters: Filters, count: int | None) -> int:
    path = "/v1/requests/cancel" if filters.tenant is None else "/admin/v1/requests/cancel"
    cancelled = 0
    asked = dict(filters.given)
    with Bar(count if count is not None and count <= _COUNTED else None) as bar:
        while True:
            answer = await client.ask("POST", path, orjson.dumps(asked))
            cancelled += int(answer["cancelled"])
            bar.show(cancelled, 0)
            if not answer["has_more"]:
                return cancelled
            asked["after"] = answer["last_id"]


async def _cancel(client: Client, ids: Sequence[str], *, as_json: bool) -> int:
    ends: Counter[str] = Counter()

    def show(found: Answer) -> None:
        ends[str(found["status"])] += 1
        if as_json:
            print_json(found, indented=False)
        else:
            print(f"{cell(found['id'])} {cell(found['status'])}")

    code = await for_each(ids, client.cancel, show)
    if len(ids) > 1:
        say(", ".join(f"{count:,} {status}" for status, count in ends.items()) + ".")
    return code
