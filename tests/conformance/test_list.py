"""Lists: their order, their pages, what they show and what not."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from broker.ports import Selection
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Usage
from tests.conformance.stages import Process, Stage
from tests.conformance.steps import accepted, eventually, record_of, running
from tests.fakes.results import make_result

_MINE = Selection("acme")
_OLDEST_FIRST = Selection("acme", newest_first=False)


async def test_no_requests_are_an_empty_list(engine: Process) -> None:
    assert await engine.store.select(_MINE, None, 10) == []
    await accepted(engine, tenant="another")
    assert await engine.store.select(_MINE, None, 10) == []


@pytest.mark.parametrize("selection", [_MINE, _OLDEST_FIRST])
async def test_pages_join_to_the_whole_in_order(engine: Process, selection: Selection) -> None:
    made = await _made(engine, 25)
    expected = [each.id for each in made]
    if selection.newest_first:
        expected.reverse()
    assert await _all_pages(engine, selection, 7) == expected
    assert await _all_pages(engine, selection, 100) == expected
    assert await _all_pages(engine, selection, 1) == expected


async def test_requests_of_one_instant_are_ordered_by_id(engine: Process) -> None:
    now = time.time()
    ids = sorted([(await accepted(engine, tenant="acme", accepted_at=now)).id for _ in range(12)])
    assert await _all_pages(engine, _OLDEST_FIRST, 5) == ids
    assert await _all_pages(engine, _MINE, 5) == ids[::-1]


async def test_an_entry_is_the_record(engine: Process) -> None:
    waiting = await accepted(engine, tenant="acme", metadata={"a": "b"})
    runs = await running(engine, tenant="acme")
    found = await engine.store.select(_OLDEST_FIRST, None, 10)
    assert found == [await record_of(engine, waiting), await record_of(engine, runs)]


@pytest.mark.parametrize("size", [2, 100_000])
async def test_a_result_is_shown_without_its_body(engine: Process, size: int) -> None:
    envelope = await running(engine, tenant="acme")
    result = make_result(
        body=b"x" * size, usage=Usage(1, 2, 3), backend="gpu-a", backend_model="m-1", message="ok"
    )
    await engine.store.finish(envelope, result, 1)
    (record,) = await _page(engine, _MINE)
    shown = record.result
    assert shown is not None
    assert shown.body is None
    assert (shown.status_code, shown.message, shown.usage) == (200, "ok", Usage(1, 2, 3))
    assert (shown.backend, shown.backend_model) == ("gpu-a", "m-1")
    assert (await record_of(engine, envelope)).result == result


async def test_each_filter_shows_what_it_names(engine: Process) -> None:
    a = await accepted(engine, tenant="acme", model="llama", priority=Priority.HIGH)
    b = await running(engine, tenant="acme", model="llama")
    c = await accepted(engine, tenant="acme", model="mistral")
    await engine.store.cancel(c.id)

    async def shows(*expected: Envelope, **filters: Any) -> None:
        page = await _page(engine, Selection("acme", newest_first=False, **filters))
        assert [each.id for each in page] == [each.id for each in expected], filters

    await shows(a, b, c)
    await shows(a, b, model="llama")
    await shows(model="lla")
    await shows(a, priority=Priority.HIGH)
    await shows(b, c, priority=Priority.NORMAL)
    await shows(b, statuses=frozenset({Status.IN_PROGRESS}))
    await shows(a, c, statuses=frozenset({Status.QUEUED, Status.CANCELLED}))
    await shows(model="mistral", statuses=frozenset({Status.QUEUED}))


@pytest.mark.parametrize("newest_first", [True, False])
async def test_instants_bound_the_list_exclusively(engine: Process, newest_first: bool) -> None:
    made = await _made(engine, 6)
    at = [each.accepted_at for each in made]

    async def shows(*numbers: int, **bounds: float) -> None:
        page = await _page(engine, Selection("acme", newest_first=newest_first, **bounds))  # type: ignore[arg-type]  # because only instants are given
        assert sorted(made.index(each) for each in _of(made, page)) == list(numbers), bounds

    await shows(3, 4, 5, created_after=at[2])
    await shows(0, 1, created_before=at[2])
    await shows(2, 3, created_after=at[1], created_before=at[4])
    await shows(created_after=at[3], created_before=at[3])


async def test_a_page_behind_a_place_outside_the_bounds_keeps_to_them(engine: Process) -> None:
    made = await _made(engine, 4)
    at = [each.accepted_at for each in made]
    newest = Selection("acme", created_before=at[2])
    oldest = Selection("acme", created_after=at[1], newest_first=False)
    for selection, after, expected in ((newest, 3, [1, 0]), (oldest, 0, [2, 3])):
        page = await engine.store.select(selection, made[after].id, 10)
        assert [each.id for each in page or []] == [made[number].id for number in expected]


async def test_all_tenants_are_one_list(engine: Process) -> None:
    now = time.time()
    made = [await accepted(engine, tenant=f"t{n % 3}", accepted_at=now + n) for n in range(9)]
    expected = [each.id for each in reversed(made)]
    assert await _all_pages(engine, Selection(None), 4) == expected


async def test_a_place_that_is_not_the_tenants_is_none(engine: Process) -> None:
    foreign = await accepted(engine, tenant="another")
    await accepted(engine, tenant="acme")
    for after in (foreign.id, new_request_id(), "", "req_", "x" * 300):
        assert await engine.store.select(_MINE, after, 10) is None
    assert await engine.store.select(Selection(None), foreign.id, 10) is not None


async def test_a_tombstone_is_not_shown_and_still_marks_its_place(stage: Stage) -> None:
    async with stage.open(0.3) as engine:
        made = await _made(engine, 3)
        await engine.store.cancel(made[1].id)

        async def gone() -> bool:
            return await engine.store.get(made[1].id) is None

        await eventually(gone)
        assert [each.id for each in await _page(engine, _OLDEST_FIRST)] == [made[0].id, made[2].id]
        page = await engine.store.select(_OLDEST_FIRST, made[1].id, 10)
        assert [each.id for each in page or []] == [made[2].id]


async def test_what_nothing_is_left_of_is_not_shown(stage: Stage) -> None:
    async with stage.open(0.2) as engine:
        past = await accepted(engine, tenant="acme", deadline=time.time() + 0.2)
        await engine.store.cancel(past.id)
        kept = await accepted(engine, tenant="acme")
        await asyncio.sleep(0.4)
        for _ in range(2):
            assert [each.id for each in await _page(engine, _MINE)] == [kept.id]
            await engine.upkeep.sweep()


async def test_a_few_are_found_among_many(engine: Process) -> None:
    made = await _made(engine, 1_300, model="common")
    rare = await accepted(engine, tenant="acme", model="rare", accepted_at=made[0].accepted_at - 1)
    selection = Selection("acme", model="rare")
    assert [each.id for each in await _page(engine, selection)] == [rare.id]
    expected = [each.id for each in reversed(made)]
    assert await _all_pages(engine, Selection("acme", model="common"), 100) == expected


async def test_what_is_there_all_the_while_is_neither_missed_nor_doubled(engine: Process) -> None:
    staying = await _made(engine, 60)
    stop, instants = asyncio.Event(), itertools.cycle(n * 7.3 % 60 for n in range(100))

    async def come_and_go() -> None:
        while not stop.is_set():
            at = staying[0].accepted_at + next(instants)
            passing = await accepted(engine, tenant="acme", accepted_at=at)
            await engine.store.cancel(passing.id)

    coming = [asyncio.create_task(come_and_go()) for _ in range(4)]
    try:
        for selection in (_MINE, _OLDEST_FIRST) * 3:
            seen = await _all_pages(engine, selection, 7)
            assert len(seen) == len(set(seen)), "one is shown twice"
            assert {each.id for each in staying} <= set(seen), "one is missed"
    finally:
        stop.set()
        await asyncio.gather(*coming)


async def _made(engine: Process, count: int, **changes: Any) -> list[Envelope]:
    """Create requests of one tenant, a second apart, oldest first."""
    now = time.time() - count
    made = [accepted(engine, tenant="acme", accepted_at=now + n, **changes) for n in range(count)]
    return list(await asyncio.gather(*made))


async def _page(engine: Process, selection: Selection) -> list[Record]:
    page = await engine.store.select(selection, None, 100)
    assert page is not None
    return page


async def _all_pages(engine: Process, selection: Selection, limit: int) -> list[str]:
    seen: list[str] = []
    after: str | None = None
    while page := await engine.store.select(selection, after, limit):
        assert len(page) <= limit
        seen += [each.id for each in page]
        after = seen[-1]
    return seen


def _of(made: list[Envelope], page: list[Record]) -> list[Envelope]:
    shown = {each.id for each in page}
    return [each for each in made if each.id in shown]
