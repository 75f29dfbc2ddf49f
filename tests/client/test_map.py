"""Many requests at once: order, back-pressure, progress, what a repeated run finds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import penstock
import pytest
from penstock import Outcome, Progress

from tests.client.conftest import Real
from tests.client.twins import Twin

pytestmark = pytest.mark.realservers

Make = Callable[..., Twin]


def body(number: int, model: str = "llama3.2") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": f"number {number}"}]}


async def test_each_body_has_its_outcome_in_order(twin: Make, real: Real) -> None:
    told: list[Progress] = []
    bodies = [body(number, "broken" if number == 7 else "jitter") for number in range(60)]
    bodies.append(body(60, "no-such-model"))
    outcomes = await twin(real.url).map(bodies, at_once=16, progress=told.append)
    assert [outcome.index for outcome in outcomes] == list(range(61))
    assert [outcome.body for outcome in outcomes] == bodies
    failed = {outcome.index: outcome.error for outcome in outcomes if outcome.error}
    assert isinstance(failed.pop(7), penstock.RequestFailed)
    assert isinstance(failed.pop(60), penstock.Refused)
    assert failed == {}
    assert len({outcome.unwrap().text for outcome in outcomes if not outcome.error}) == 59
    assert told[-1] == Progress(submitted=61, ended=61, failed=2, total=61)
    assert [progress.ended for progress in told] == list(range(1, 62))


async def test_what_ends_first_comes_first_where_order_does_not_matter(
    twin: Make, real: Real
) -> None:
    bodies = [body(0, "later"), *(body(number) for number in range(1, 5))]
    outcomes = await twin(real.url).map(iter(bodies), ordered=False)
    assert outcomes[-1].index == 0
    assert sorted(outcome.index for outcome in outcomes) == list(range(5))


async def test_a_run_that_is_made_again_finds_its_requests(twin: Make, real: Real) -> None:
    bodies = [body(number) for number in range(5)]
    client, run = twin(real.url), f"nightly-{time.monotonic_ns()}"
    first, again = await client.map(bodies, run=run), await client.map(bodies, run=run)
    assert _ids(first) == _ids(again)
    assert len(set(_ids(first))) == 5
    other = await client.map(bodies, run=f"{run}-other")
    assert not set(_ids(first)) & set(_ids(other))


def test_a_loop_that_is_slow_holds_the_bodies_back(real: Real) -> None:
    read: list[int] = []
    with penstock.Client(real.url) as client:
        for outcome in client.map(_counted(read, 20), at_once=4):
            time.sleep(0.02)
            assert len(read) <= outcome.index + 1 + 4
    assert len(read) == 20


async def test_a_task_that_is_slow_holds_the_bodies_back(real: Real) -> None:
    read: list[int] = []

    async def bodies() -> AsyncIterator[Mapping[str, Any]]:
        for each in _counted(read, 20):
            yield each

    async with penstock.AsyncClient(real.url) as client:
        async for outcome in client.map(bodies(), at_once=4):
            await asyncio.sleep(0.02)
            assert len(read) <= outcome.index + 1 + 4
    assert len(read) == 20


def test_a_loop_that_is_left_leaves_no_thread_behind(real: Real) -> None:
    with penstock.Client(real.url) as client:
        outcomes = client.map(_counted([], 10_000), at_once=4)
        assert next(outcomes).index == 0
        outcomes.close()
        until = time.monotonic() + 15
        while any(each.name.startswith("penstock-map") for each in threading.enumerate()):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_none_at_once_is_refused(real: Real) -> None:
    with penstock.Client(real.url) as client, pytest.raises(ValueError, match="at_once"):
        next(client.map([body(0)], at_once=0))


def _counted(read: list[int], number: int) -> Iterator[Mapping[str, Any]]:
    for each in range(number):
        read.append(each)
        yield body(each)


def _ids(outcomes: list[Outcome]) -> list[str]:
    return [outcome.unwrap().request.id for outcome in outcomes]
