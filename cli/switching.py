"""`penstock models|backends pause|resume|drain`: the switches of an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from cli.choosing import do_each
from cli.client import Access, segment
from cli.showing import cell

Kind = Literal["models", "backends"]
Verb = Literal["pause", "resume", "drain"]


def switch(access: Access, kind: Kind, verb: Verb, names: Sequence[str], *, as_json: bool) -> int:
    """Use the switch of each that is named; return the exit code."""
    return do_each(
        access,
        names,
        lambda client, name: client.ask("POST", f"/admin/v1/{kind}/{segment(name)}/{verb}", b""),
        lambda answer: f"{cell(answer['id'])} {cell(answer['state'])}",
        as_json=as_json,
    )
