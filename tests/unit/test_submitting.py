"""`penstock submit` when its server goes away in the middle, or was never there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

from cli import submitting
from cli.client import Client, Unreachable
from cli.lines import Defaults, Line
from cli.progress import Bar
from cli.submitting import Submission


class Leaving:
    """A server that answers a number of reads and is away for the next ones."""

    def __init__(self, answers: int, away_for: int, takes: bool = True) -> None:
        self._answers = answers
        self._away_for = away_for
        self._takes = takes

    async def submit(self, body: bytes, key: str) -> dict[str, Any]:
        if not self._takes:
            raise Unreachable("no Penstock answers")
        return {"id": f"req_{key}", "status": "queued"}

    async def upload(self, path: str, lines: bytes) -> list[dict[str, Any]]:
        keys = re.findall(rb'"idempotency_key":"([^"]+)"', lines)
        accepted = [await self.submit(b"", key.decode()) for key in keys]
        return [{"line": number, **each} for number, each in enumerate(accepted, start=1)]

    async def read(self, request_id: str, wait_s: float) -> dict[str, Any]:
        self._answer()
        return {"id": request_id, "status": "completed"}

    def _answer(self) -> None:
        self._answers -= 1
        if -self._away_for <= self._answers < 0:
            raise Unreachable("no Penstock answers")


async def submit(server: Leaving, count: int) -> int:
    def lines() -> Iterator[Line]:
        for number in range(1, count + 1):
            yield Line(number, b"{}")

    submission = Submission("-", None, Defaults(), "p", True, False)
    with Bar(count) as bar:
        course = submitting._Course(cast("Client", server), submission, bar)
        return await course.run(lines())


async def test_a_server_that_comes_back_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert await submit(Leaving(3, away_for=2), 4) == 0
    results = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["id"] for result in results] == [f"req_p-{n}" for n in range(1, 5)]


async def test_a_server_that_stays_away_leaves_the_way_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "_PATIENCE_S", 0.0)
    with pytest.raises(Unreachable):
        await submit(Leaving(1, away_for=1_000), 4)
    told = capsys.readouterr().err
    # How many more were accepted by then depends on the moment.
    assert re.search("stopped: [234] accepted, 1 of them printed. What is not printed runs", told)
    assert "--idempotency-prefix p: nothing runs twice." in told


async def test_a_server_that_never_answered_is_not_waited_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(Unreachable):
        await submit(Leaving(0, away_for=0, takes=False), 1)
    assert capsys.readouterr() == ("", "")
