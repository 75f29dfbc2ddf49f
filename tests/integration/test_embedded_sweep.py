"""What the sweep deletes from the file once its time has passed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from broker.ports.store import MARK_KEPT_S
from schemas.ids import new_request_id
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result
from tests.integration.embedded import rows, running

_COUNTS = "SELECT (SELECT count(*) FROM asked), (SELECT count(*) FROM marks)"


@pytest.mark.parametrize("deadline_s", [10, 1_000_000])
async def test_bodies_and_marks_go(tmp_path: Path, deadline_s: float) -> None:
    now = time.time()
    mark, at = b"m" * 32, [now]
    envelope = make_envelope(
        id=new_request_id(mark), endpoint="/v1/responses", deadline=now + deadline_s
    )
    async with running(tmp_path, clock=lambda: at[0]) as engine:
        await engine.store.create(envelope, mark)
        at[0] += MARK_KEPT_S - 1
        await engine.upkeep.sweep()
        assert await rows(engine, _COUNTS) == [(1, 1)], "it is open, and its mark may be asked for"
        await engine.store.finish(envelope, make_result(finished_at=at[0]), 1)
        at[0] += 2
        assert await engine.store.taken_in(mark) is None
        await engine.upkeep.sweep()
        assert await rows(engine, _COUNTS) == [(1, 0)]
        at[0] += 60
        await engine.upkeep.sweep()
        assert await rows(engine, _COUNTS) == [(0, 0)]


async def test_what_is_forgotten_leaves_only_its_row(tmp_path: Path) -> None:
    count = (
        "SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM envelopes),"
        " (SELECT count(*) FROM results), (SELECT count(*) FROM asked)"
    )
    envelope = make_envelope(endpoint="/v1/responses")
    async with running(tmp_path) as engine:
        await engine.store.create(envelope)
        await engine.store.finish(envelope, make_result(), 1, keep_envelope=True)
        assert await rows(engine, count) == [(1, 1, 1, 1)]
        assert await engine.store.forget(envelope.id)
        assert await rows(engine, count) == [(1, 0, 0, 0)]
