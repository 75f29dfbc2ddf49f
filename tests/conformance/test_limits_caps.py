"""Caps of callers and models: exact together with the slots, in order, over all processes."""

from __future__ import annotations

import time

from broker.ports import Granted, Reservation, Spent, StartAt, TooLate
from tests.conformance.asking import Asker, granted_of, new_cap, waits
from tests.conformance.stages import Process, two_processes


async def test_a_callers_cap_holds_over_backends(engine: Process) -> None:
    one, two, cap = Asker(engine), Asker(engine), new_cap(3)
    granted = [await asker.granted(2, own=(cap,)) for asker in (one, two)]
    assert [len(some) for some in granted] == [2, 1]
    assert await engine.limits.held(cap.key) == 3
    await engine.limits.refund(granted[0])
    assert await engine.limits.held(cap.key) == 1
    assert len(await two.granted(3, own=(cap,))) == 2


async def test_a_full_cap_of_a_caller_says_when(engine: Process) -> None:
    asker, cap = Asker(engine), new_cap(2)
    held = await asker.granted(2, own=(cap,))
    answers = await asker.ask_all(*(asker.want(own=(cap,)) for _ in range(4)))
    times = [answer.at for answer in answers if isinstance(answer, StartAt)]
    assert len(times) == 4
    assert times == sorted(times)
    late = await asker.ask(asker.want(own=(cap,), deadline=time.time() + 0.1))
    assert isinstance(late, TooLate)
    await asker.limits.settle([Spent(held[0], 3)])
    # It came back early, and what is free is nobody's yet.
    assert isinstance(await asker.ask(asker.want(own=(cap,))), Granted)


async def test_a_models_cap_is_kept_for_the_best_that_waits(engine: Process) -> None:
    low, high, cap = Asker(engine), Asker(engine), new_cap(1)
    (held,) = await low.granted(1, shared=(cap,))
    assert waits(await low.ask(low.want(shared=(cap,), rank=2)))
    assert waits(await high.ask(high.want(shared=(cap,), rank=1)))
    await low.limits.settle([Spent(held)])
    assert waits(await low.ask(low.want(shared=(cap,), rank=2)))
    assert isinstance(await high.ask(high.want(shared=(cap,), rank=1)), Granted)


async def test_what_waits_for_one_cap_holds_no_other(engine: Process) -> None:
    asker, own, shared = Asker(engine), new_cap(5), new_cap(1)
    await asker.granted(1, shared=(shared,))
    assert waits(await asker.ask(asker.want(own=(own,), shared=(shared,))))
    assert await engine.limits.held(own.key) == 0
    assert await asker.held() == 1


@two_processes
async def test_processes_share_a_cap(engine: Process, other: Process) -> None:
    one, two, cap = Asker(engine), Asker(other), new_cap(5)
    granted = [
        *granted_of(await one.ask_all(*(one.want(own=(cap,)) for _ in range(4)))),
        *granted_of(await two.ask_all(*(two.want(own=(cap,)) for _ in range(4)))),
    ]
    assert len(granted) == 5
    assert await one.limits.renew(granted[:4]) == []
    # Any process may settle for any other.
    await two.limits.settle([Spent(each) for each in granted])
    assert await one.limits.held(cap.key) == 0


async def test_however_many_are_given_back_at_once(engine: Process) -> None:
    """After an absence of the engine a process has thousands to give back."""
    asker = Asker(engine)
    limits = asker.limits
    many = [Reservation(asker.backend, asker.mint()) for _ in range(9_000)]
    await limits.refund(many)
    await limits.settle(Spent(each, None) for each in many)
    await limits.give_up(each.id for each in many)
    assert await asker.held() == 0


async def test_a_full_cap_is_kept_however_short_it_is_held(engine: Process) -> None:
    asker, cap = Asker(engine), new_cap(1)
    for _ in range(3):
        (held,) = await asker.granted(1, own=(cap,))
        await asker.limits.settle([Spent(held, 0)])
    assert len(await asker.granted(3, own=(cap,))) == 1
