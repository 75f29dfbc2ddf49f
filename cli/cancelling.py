"""`penstock cancel`: by id, or all that match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cli.choosing import Answer, confirmed, for_each
from cli.client import Access, Client, connect
from cli.outcome import FAILED, exit_code_of
from cli.showing import cell, print_json, say

_OPEN = ("queued", "in_progress")


def cancel_named(access: Access, ids: Sequence[str], *, as_json: bool) -> int:
    """Cancel requests by id; return the exit code."""

    async def work() -> int:
        async with connect(access) as client:
            return await _cancel(client, ids, as_json=as_json)

    return exit_code_of(work())


def cancel_matching(
    access: Access, model: str | None, status: str | None, *, yes: bool, as_json: bool
) -> int:
    """Cancel every open request of a model or status, after a question; return the exit code."""

    async def work() -> int:
        async with connect(access) as client:
            ids = [
                found["id"]
                for one in ([status] if status else _OPEN)
                async for found in client.pages("/v1/requests", {"model": model, "status": one})
            ]
            if not ids:
                say("no request matches.")
                return 0
            if not confirmed(f"Cancel {len(ids):,} requests?", yes=yes):
                return FAILED
            return await _cancel(client, ids, as_json=as_json)

    return exit_code_of(work())


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
