"""`penstock batch list`, `status`, `cancel`, `pause`, `resume`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cli.batches.telling import COLUMNS, NUMBERS, fields, row, say_mistakes
from cli.choosing import do_each
from cli.client import Access, connect, segment
from cli.outcome import exit_code_of
from cli.showing import cell, print_fields, print_json, print_table

_PATH = "/v1/batches"
Verb = Literal["cancel", "pause", "resume"]


def show_all(access: Access, limit: int, *, as_json: bool) -> int:
    """List the batches, newest first; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            batches = [batch async for batch in client.pages(_PATH, {}, limit)]
        if as_json:
            print_json(batches)
        else:
            print_table(COLUMNS, map(row, batches), NUMBERS)

    return exit_code_of(work())


def show(access: Access, batch_id: str, *, as_json: bool) -> int:
    """Show one batch; return the exit code."""

    async def work() -> None:
        async with connect(access) as client:
            batch = await client.ask("GET", f"{_PATH}/{segment(batch_id)}")
        say_mistakes(batch, "its file")
        if as_json:
            print_json(batch)
        else:
            print_fields(fields(batch))

    return exit_code_of(work())


def switch(access: Access, verb: Verb, ids: Sequence[str], *, as_json: bool) -> int:
    """Do this to each batch that is named; return the exit code."""
    return do_each(
        access,
        ids,
        lambda client, one: client.ask("POST", f"{_PATH}/{segment(one)}/{verb}", b""),
        lambda batch: f"{cell(batch['id'])} {cell(row(batch)[1])}",
        as_json=as_json,
    )
