"""What waits for a model that nobody serves any more ends as failed, and stays a dead letter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from broker.ports import Engine, Served
from schemas.config import Config
from schemas.errors import StoreUnavailable
from schemas.lifecycle import Status
from schemas.priority import PRIORITIES, Priority
from tests.conformance.steps import eventually
from tests.fakes.backend import Backend
from tests.fakes.results import make_slot
from tests.integration.test_worker_reload import (
    asking,
    config,
    ended,
    on,
    submit,
    until,
    working,
)
from workers import retired
from workers.answering import Answering
from workers.retired import Retired
from workers.settlement import Settlement
from workers.slots import Slots

REMOVED = (Status.FAILED, "model_removed")
NOWHERE = "http://127.0.0.1:1/v1"
Looking = Callable[[Config], Retired]


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retired, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(retired, "_LOOK_CLOSELY_S", 0.05)


@pytest.fixture
async def looking(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Looking]:
    """Make one that looks when it is told to, and for which one look is enough."""
    monkeypatch.setattr(retired, "LOOK_EVERY_S", 0.0)
    made: list[Retired] = []

    def make(known: Config) -> Retired:
        slots = Slots(engine.limits, engine.owner)
        settlement = Settlement(engine, slots, Answering(engine, 60.0), 60.0)
        made.append(Retired(engine, settlement, known))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


def kept(**more: Any) -> Config:
    return config({"kept": on("fake"), **more}, fake=NOWHERE)


async def end_of(engine: Engine, request_id: str) -> tuple[Status, str | None]:
    record = await engine.store.wait(request_id, 30)
    assert record is not None
    return record.status, record.result.code if record.result else None


@pytest.mark.usefixtures("_often")
async def test_every_request_of_a_removed_model_ends_and_stays_a_dead_letter(
    engine: Engine,
) -> None:
    async with Backend() as fake:
        gone = [asking("gone", "gone") for _ in range(10)]
        ids = [await submit(engine, each) for each in gone]
        async with working(engine, config({"kept": on("fake", model="echo")}, fake=fake.url)):
            for request_id in ids:
                assert await end_of(engine, request_id) == REMOVED
                letter = await engine.dead_letters.envelope(request_id)
                assert letter is not None
                assert letter.model == "gone"
            await ended(engine, await submit(engine, asking("kept", "kept")))

            async def empty() -> bool:
                depths = [await engine.queue.depth("gone", priority) for priority in PRIORITIES]
                return not any(depths) and await engine.store.waiting_models() == []

            await eventually(empty)
    assert [call.model for call in fake.ledger.calls] == ["echo"]


@pytest.mark.usefixtures("_often")
async def test_what_comes_back_from_a_retry_ends_as_well(engine: Engine) -> None:
    async with Backend() as fake:
        models = {"m": on("fake", model="status-500"), "kept": on("fake")}
        async with working(engine, config(models, fake=fake.url)) as worker:
            request_id = await submit(engine, asking("m", "m"))
            await until(lambda: bool(fake.ledger.calls) and not fake.ledger.open)
            await worker.apply(config({"kept": on("fake")}, fake=fake.url))
            assert await end_of(engine, request_id) == REMOVED
            record = await engine.store.get(request_id)
            assert record is not None
            assert record.attempt == len(fake.ledger.calls) == 1


@pytest.mark.usefixtures("_often")
async def test_a_configuration_that_brings_the_model_back_stops_it_at_once(
    engine: Engine,
) -> None:
    async with Backend() as fake:
        without = config({"kept": on("fake")}, fake=fake.url)
        both = config({"kept": on("fake"), "m": on("fake", model="echo")}, fake=fake.url)
        before = [await submit(engine, asking("m", "m")) for _ in range(300)]
        async with working(engine, without) as worker:
            await end_of(engine, before[0])
            await worker.apply(both)
            for request_id in [await submit(engine, asking("m", "m")) for _ in range(5)]:
                await ended(engine, request_id)
            ends = {await end_of(engine, each) for each in before}
        assert REMOVED in ends
        assert ends <= {REMOVED, (Status.COMPLETED, None)}
        letters = [await engine.dead_letters.envelope(each) for each in before]
        calls = {call.id for call in fake.ledger.calls}
        assert len(calls) == len(fake.ledger.calls) == 5 + letters.count(None)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("llama-3", kept(**{"llama-*": on("fake")})),
        ("llama-*", kept(**{"llama-*": on("fake")})),
        ("old", kept().model_copy(update={"aliases": {"old": "kept"}})),
        ("any", config(fake=NOWHERE)),
    ],
)
async def test_a_name_that_the_configuration_knows_is_never_removed(
    engine: Engine, looking: Looking, name: str, known: Config
) -> None:
    await submit(engine, asking(name, name))
    looker = looking(known)
    for _ in range(3):
        await looker._look()
    assert not looker._emptying


async def test_what_another_process_serves_is_not_removed(engine: Engine, looking: Looking) -> None:
    await engine.members.beat("another", [Served("m", 1)])
    waiting = await submit(engine, asking("m", "m"))
    looker = looking(kept())
    await looker._look()
    assert not looker._emptying
    await engine.members.beat("another", [])
    await looker._look()
    assert await end_of(engine, waiting) == REMOVED


async def test_it_takes_two_looks_in_a_row(
    engine: Engine, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(engine, asking("m", "m"))
    looker = looking(kept())
    monkeypatch.setattr(retired, "LOOK_EVERY_S", 3_600)
    for _ in range(3):
        await looker._look()
    assert not looker._emptying
    monkeypatch.setattr(retired, "LOOK_EVERY_S", 0.0)
    await looker._look()
    assert looker._emptying


async def test_a_look_that_failed_proves_nothing(
    engine: Engine, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await submit(engine, asking("m", "m"))
    looker = looking(kept())
    monkeypatch.setattr(retired, "LOOK_EVERY_S", 3_600)
    await looker._look()
    assert looker._removed_since

    async def away() -> list[str]:
        raise StoreUnavailable("away")

    monkeypatch.setattr(engine.store, "waiting_models", away)
    running = asyncio.create_task(looker.run())
    await until(lambda: not looker._removed_since)
    running.cancel()


async def test_what_a_door_still_knows_is_not_removed(engine: Engine, looking: Looking) -> None:
    """Doors may get a new configuration before the workers do."""
    new, gone = await submit(engine, asking("new", "new")), await submit(engine, asking("m", "m"))
    await engine.members.beat("api", [Served("new", slots=0)])
    await looking(kept())._look()
    assert await end_of(engine, gone) == REMOVED
    record = await engine.store.get(new)
    assert record is not None
    assert record.status is Status.QUEUED


async def test_what_runs_elsewhere_is_left_alone(engine: Engine, looking: Looking) -> None:
    """A process that lets go of a model still finishes what runs, whatever a copy says."""
    envelope = asking("m", "m")
    other = asking("m", "m")
    await submit(engine, other)
    await engine.store.create(envelope)
    await engine.store.claim(envelope, make_slot())
    await engine.queue.publish(envelope)
    looker = looking(kept())
    await looker._look()
    assert await end_of(engine, other.id) == REMOVED
    record = await engine.store.get(envelope.id)
    assert record is not None
    assert record.status is Status.IN_PROGRESS


async def test_a_lower_class_is_not_forgotten(engine: Engine, looking: Looking) -> None:
    ids = []
    for priority in (Priority.BATCH, Priority.LOW, Priority.HIGH):
        envelope = asking("m", "m")
        ids.append(await submit(engine, replace(envelope, priority=priority)))
    await looking(kept())._look()
    assert {await end_of(engine, each) for each in ids} == {REMOVED}
