"""Slots of backends: exact, in order, freed and told."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from broker.ports import Reservation
from tests.conformance.stages import EMBEDDED, Process, two_processes


@pytest.fixture
def backend() -> str:
    """A backend that no other test uses."""
    return f"gpu-{secrets.token_hex(4)}"


def ids(owner: str, count: int) -> list[str]:
    return [f"{owner}:{number}" for number in range(count)]


async def test_as_many_as_fit_are_reserved_in_order(engine: Process, backend: str) -> None:
    wanted = ids(engine.owner, 5)
    assert await engine.limits.reserve(backend, 3, wanted) == 3
    assert await engine.limits.held(backend) == 3
    assert await engine.limits.reserve(backend, 3, [f"{engine.owner}:more"]) == 0
    await engine.limits.release([Reservation(backend, wanted[0])])
    assert await engine.limits.held(backend) == 2
    assert await engine.limits.reserve(backend, 3, [f"{engine.owner}:more"]) == 1


async def test_a_reservation_that_is_repeated_holds_one_slot(engine: Process, backend: str) -> None:
    wanted = ids(engine.owner, 2)
    assert await engine.limits.reserve(backend, 2, wanted) == 2
    assert await engine.limits.reserve(backend, 2, wanted) == 2
    assert await engine.limits.held(backend) == 2


async def test_a_release_that_is_repeated_frees_one_slot(engine: Process, backend: str) -> None:
    wanted = ids(engine.owner, 2)
    await engine.limits.reserve(backend, 2, wanted)
    for _ in range(2):
        await engine.limits.release([Reservation(backend, wanted[0])])
    await engine.limits.release([Reservation(backend, "never:held"), Reservation("no-such", "x")])
    assert await engine.limits.held(backend) == 1


async def test_backends_do_not_share_slots(engine: Process, backend: str) -> None:
    assert await engine.limits.reserve(backend, 1, ids(engine.owner, 1)) == 1
    assert await engine.limits.reserve(f"{backend}-b", 1, ids(engine.owner, 1)) == 1


async def test_never_more_than_the_limit_at_once(engine: Process, backend: str) -> None:
    wanted = [[f"{engine.owner}:{turn}:{number}" for number in range(3)] for turn in range(10)]
    tries = [engine.limits.reserve(backend, 7, some) for some in wanted]
    assert sum(await asyncio.gather(*tries)) == 7
    assert await engine.limits.held(backend) == 7


async def test_renewing_keeps_a_slot_once(engine: Process, backend: str) -> None:
    slot = Reservation(backend, f"{engine.owner}:1")
    await engine.limits.reserve(backend, 2, [slot.id])
    await engine.limits.renew([slot])
    assert await engine.limits.held(backend) == 1


@pytest.mark.parametrize("stage", [EMBEDDED], indirect=True)
async def test_without_leases_renewing_brings_no_freed_slot_back(
    engine: Process, backend: str
) -> None:
    slot = Reservation(backend, f"{engine.owner}:1")
    await engine.limits.reserve(backend, 1, [slot.id])
    await engine.limits.release([slot])
    await engine.limits.renew([slot])
    assert await engine.limits.held(backend) == 0


async def test_who_got_too_few_is_told_of_a_free_slot(engine: Process, backend: str) -> None:
    freed = asyncio.Event()
    engine.limits.on_free(backend, freed.set)
    wanted = ids(engine.owner, 2)
    assert await engine.limits.reserve(backend, 1, wanted) == 1
    freed.clear()  # a wake too many is allowed: a slot *may* have become free
    await engine.limits.release([Reservation(backend, wanted[0])])
    async with asyncio.timeout(2):
        await freed.wait()
    assert await engine.limits.reserve(backend, 1, wanted[1:]) == 1


@two_processes
async def test_processes_share_the_slots(engine: Process, other: Process, backend: str) -> None:
    tries = [
        process.limits.reserve(backend, 5, [f"{process.owner}:{number}"])
        for number in range(10)
        for process in (engine, other)
    ]
    assert sum(await asyncio.gather(*tries)) == 5
    assert await engine.limits.held(backend) == await other.limits.held(backend) == 5
