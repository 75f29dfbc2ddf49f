"""The machine of `whole_model` finds nothing in the embedded engine, and every planted fault."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from broker.embedded.engine import EmbeddedEngine
from broker.ports import Answer, Want
from tests.conformance.whole_model import SLOTS, WholeModel

TestWholeModel = WholeModel.TestCase
TestWholeModel.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


async def _nothing(_of: object) -> None:
    """Do nothing, where something would have to be done."""


async def _write(engine: EmbeddedEngine, statement: str) -> None:
    await engine._database.write(lambda file: file.execute(statement).fetchall())


async def _for_ever() -> float:
    return 3_600.0


Plant = Callable[[EmbeddedEngine], Coroutine[Any, Any, None]]


class Faulty(WholeModel):
    """The same machine on an engine with a fault in it; one that passes would be worth nothing."""

    plant: ClassVar[Plant]

    async def prepare(self, engine: EmbeddedEngine) -> None:
        await type(self).plant(engine)


async def a_slot_too_many(engine: EmbeddedEngine) -> None:
    reserve = engine.limits.reserve

    async def too_many(wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        wider = replace(SLOTS, limit=SLOTS.limit + 1)
        return await reserve([(replace(want, slot=wider), minted) for want, minted in wants])

    engine.limits.reserve = too_many  # type: ignore[method-assign]  # because it is planted


async def a_refund_forgotten(engine: EmbeddedEngine) -> None:
    engine.limits.refund = _nothing  # type: ignore[method-assign, assignment]  # planted


async def a_booking_that_outlives_its_request(engine: EmbeddedEngine) -> None:
    engine.limits.give_up = _nothing  # type: ignore[method-assign, assignment]  # planted


async def a_parked_request_that_nobody_wakes(engine: EmbeddedEngine) -> None:
    engine._queue._parking._wake_due = _for_ever  # type: ignore[method-assign]  # because see above


async def a_count_that_is_not_taken_down(engine: EmbeddedEngine) -> None:
    await _write(engine, "DROP TRIGGER IF EXISTS request_waits_no_more")


async def an_end_that_is_not_final(engine: EmbeddedEngine) -> None:
    await _write(
        engine,
        "CREATE TRIGGER IF NOT EXISTS undo AFTER UPDATE OF status ON requests"
        " WHEN new.status = 'cancelled'"
        " BEGIN UPDATE requests SET status = 'queued' WHERE seq = new.seq; END",
    )


async def a_pause_that_is_forgotten(engine: EmbeddedEngine) -> None:
    await _write(engine, "DELETE FROM switches")


FAULTS = (
    a_slot_too_many,
    a_refund_forgotten,
    a_booking_that_outlives_its_request,
    a_parked_request_that_nobody_wakes,
    a_count_that_is_not_taken_down,
    an_end_that_is_not_final,
    a_pause_that_is_forgotten,
)


@pytest.mark.parametrize("plant", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found(plant: Plant) -> None:
    machine = type("Planted", (Faulty,), {"plant": staticmethod(plant)})
    quickly = settings(
        max_examples=100,
        stateful_step_count=40,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        report_multiple_bugs=False,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quickly)
