"""`penstock models|backends pause|resume|drain`: the switches of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cli.choosing import Answer, for_each
from cli.client import Access, connect, segment
from cli.outcome import exit_code_of
from cli.showing import cell, print_json

Kind = Literal["models", "backends"]
Verb = Literal["pause", "resume", "drain"]


def switch(access: Access, kind: Kind, verb: Verb, names: Sequence[str], *, as_json: bool) -> int:
    """Use the switch of each that is named; return the exit code."""

    def show(answer: Answer) -> None:
        if as_json:
            print_json(answer, indented=False)
        else:
            print(f"{cell(answer['id'])} {cell(answer['state'])}")

    async def work() -> int:
        async with connect(access) as client:
            return await for_each(
                names,
                lambda name: client.ask("POST", f"/admin/v1/{kind}/{segment(name)}/{verb}", b""),
                show,
            )

    return exit_code_of(work())
