"""Who lives and what is served."""

from __future__ import annotations

from broker.ports import Served
from tests.conformance.stages import Process, two_processes


async def test_a_process_that_beats_lives(engine: Process) -> None:
    await engine.members.beat("worker", [])
    age = await engine.members.last_beat(engine.owner)
    assert age is not None
    assert 0 <= age < 5


async def test_a_process_nobody_knows_is_dead(engine: Process) -> None:
    assert await engine.members.last_beat("nobody:1") is None


async def test_a_process_that_left_is_dead_and_serves_nothing(engine: Process) -> None:
    await engine.members.beat("worker", [Served("m", 4)])
    await engine.members.leave()
    assert await engine.members.last_beat(engine.owner) is None
    assert await engine.members.served() == []


async def test_the_last_beat_says_what_is_served(engine: Process) -> None:
    await engine.members.beat("worker", [Served("a", 4, 3, 1)])
    await engine.members.beat("worker", [Served("a", 4, 1, 0), Served("b", 2)])
    served = sorted(await engine.members.served(), key=lambda each: each.model)
    assert served == [Served("a", 4, 1, 0), Served("b", 2)]


async def test_a_model_said_twice_is_one_line_with_the_most_slots(engine: Process) -> None:
    await engine.members.beat("worker", [Served("a", 2, 1, 0), Served("a", 4, 1, 3)])
    assert await engine.members.served() == [Served("a", 4, 2, 3)]


async def test_an_api_that_serves_nothing_hides_no_worker(engine: Process) -> None:
    await engine.members.beat("worker", [Served("a", 4)])
    await engine.members.beat("api", [])
    assert await engine.members.last_beat(engine.owner) is not None


@two_processes
async def test_workers_of_a_model_are_one_line(engine: Process, other: Process) -> None:
    await engine.members.beat("worker", [Served("a", 4, 3, 1)])
    await other.members.beat("worker", [Served("a", 4, 1, 2)])
    assert await engine.members.served() == [Served("a", 4, 4, 3)]
    await other.members.leave()
    assert await engine.members.last_beat(other.owner) is None
    assert await engine.members.served() == [Served("a", 4, 3, 1)]
