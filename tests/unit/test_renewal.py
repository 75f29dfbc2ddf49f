"""The renewal of a worker: what it has lost it drops at once, also when the engine was away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

from broker.ports import Engine, Reservation
from schemas.errors import StoreUnavailable
from tests.fakes.envelopes import make_envelope
from workers.inflight import InFlight, InFlightMap
from workers.pulse import BEAT_S, Pulse
from workers.slots import Slots

KEPT, LOST = Reservation("b", "me:1:1"), Reservation("b", "me:1:2")


class Forgetful:
    """Limits that are away for a while, and then have given one slot to somebody else."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.asked = asyncio.Event()

    async def renew(self, _held: Iterable[Reservation]) -> list[Reservation]:
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        self.asked.set()
        return [LOST]

    async def refund(self, _news: object) -> None:
        raise AssertionError("it only ever renews here")

    settle = give_up = refund


async def test_the_call_of_what_was_lost_while_it_was_claimed_is_dropped_as_soon() -> None:
    inflight, limits = InFlightMap(), Forgetful(away=0)
    slots = Slots(limits, "me:1")  # type: ignore[arg-type]  # because it only ever renews here
    engine = cast(Engine, SimpleNamespace())
    renewing = asyncio.create_task(Pulse(engine, inflight, slots, list).renew())
    await limits.asked.wait()
    await asyncio.sleep(0)
    run = InFlight(make_envelope(), LOST, [])
    inflight.add(run)
    async with asyncio.timeout(BEAT_S / 2):
        await run.aborted.wait()
    renewing.cancel()


async def test_the_calls_of_what_is_lost_are_dropped_within_a_second() -> None:
    inflight, limits = InFlightMap(), Forgetful(away=2)
    runs = [InFlight(make_envelope(), each, []) for each in (KEPT, LOST)]
    for run in runs:
        inflight.add(run)
    slots = Slots(limits, "me:1")  # type: ignore[arg-type]  # because it only ever renews here
    engine = cast(Engine, SimpleNamespace())
    renewing = asyncio.create_task(Pulse(engine, inflight, slots, list).renew())
    async with asyncio.timeout(BEAT_S / 2):
        await limits.asked.wait()
        await runs[1].aborted.wait()
    renewing.cancel()
    assert not runs[0].aborted.is_set()
