"""The attempts of a request that have ended, in order, as its record tells them."""

from __future__ import annotations

from broker.claims import Run
from broker.ports import Selection
from schemas.attempts import MAX_ATTEMPTS_TOLD, Attempt
from tests.conformance.stages import Process
from tests.conformance.steps import accepted, record_of, running
from tests.fakes.results import make_result, make_slot


def attempt(number: int) -> Attempt:
    """Return an attempt that failed."""
    return Attempt(number, "gpu-ä", 1e9 + number, 1e9 + number + 0.25, "busy", 503, "zu viel")


async def test_attempts_are_told_in_their_order(engine: Process) -> None:
    envelope = await running(engine, tenant="told")
    assert (await record_of(engine, envelope)).history == ()
    slot = make_slot()
    for _ in range(2):
        assert await engine.store.next_attempt(envelope.id, 1, slot, attempt(1))
    copy = envelope.next_generation(0.0)
    for _ in range(2):
        assert await engine.store.requeue(copy, 2, attempt(2)), "a repeated step tells it once"
    assert await engine.store.claim(copy, make_slot()) == Run(3, 0)
    result = make_result()
    for _ in range(2):
        assert (await engine.store.finish(copy, result, 3, made=attempt(3))).won
    told = (attempt(1), attempt(2), attempt(3))
    assert (await record_of(engine, envelope)).history == told
    (listed,) = await engine.store.select(Selection("told"), None, 10) or []
    assert listed.history == told


async def test_what_changes_nothing_tells_nothing(engine: Process) -> None:
    envelope = await running(engine)
    assert not await engine.store.next_attempt(envelope.id, 7, make_slot(), attempt(7))
    assert not await engine.store.requeue(envelope, 7, attempt(7))
    await engine.store.cancel(envelope.id)
    assert not (await engine.store.finish(envelope, make_result(), 1, made=attempt(1))).won
    assert (await record_of(engine, envelope)).history == ()


async def test_only_so_many_are_told_the_first_among_them(engine: Process) -> None:
    envelope = await accepted(engine)
    numbers = range(1, MAX_ATTEMPTS_TOLD + 4)
    for number in numbers:
        assert await engine.store.claim(envelope, make_slot()) == Run(number, 0)
        assert await engine.store.requeue(envelope, number, attempt(number))
    history = (await record_of(engine, envelope)).history
    assert [each.number for each in history] == [1, *numbers[1 - MAX_ATTEMPTS_TOLD :]]
