"""Rates: exact, booked ahead in order, charged to nobody who made no call."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from itertools import pairwise

from broker.ports import Granted, Spent, StartAt, TooLate, Wait
from tests.conformance.asking import Asker, granted_of, new_rate, seconds_until, waits
from tests.conformance.stages import Process, two_processes


async def test_a_thousand_at_once_never_reserve_more_than_the_budget(engine: Process) -> None:
    asker, budget = Asker(engine), new_rate(100, 1, counts="tokens")
    began = time.monotonic()
    answers = await asyncio.gather(*(asker.ask(asker.want(own=(budget,))) for _ in range(1_000)))
    refilled = (time.monotonic() - began) * 100 / 60
    granted = granted_of(list(answers))
    assert 100 <= len(granted) <= 100 + refilled
    assert await asker.held() == len(granted)
    parked = [answer for answer in answers if isinstance(answer, StartAt)]
    assert len(parked) == 1_000 - len(granted)


async def test_what_is_refused_or_given_up_costs_nothing(engine: Process) -> None:
    asker, budget = Asker(engine), new_rate(100, 100, counts="tokens")
    (held,) = await asker.granted(1, own=(budget,))
    soon = time.time() + 5
    for _ in range(20):
        answer = await asker.ask(asker.want(own=(budget,), deadline=soon))
        assert isinstance(answer, TooLate)
        assert answer.at > soon
        assert answer.what == budget.what
    parked = [asker.want(own=(budget,)) for _ in range(20)]
    assert not granted_of(await asker.ask_all(*parked))
    await asker.limits.give_up([want.request_id for want in parked])
    await asker.limits.give_up(["req_unknown"])
    assert 59 < await seconds_until(asker.limits, budget) <= 60
    await asker.limits.refund([held])
    assert len(await asker.granted(1, own=(budget,))) == 1


async def test_turns_are_booked_in_order_and_kept(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(60, 1)
    await asker.granted(1, own=(replace(rate, cost=60),))
    wants = [asker.want(own=(rate,)) for _ in range(5)]
    first = [answer for answer in await asker.ask_all(*wants) if isinstance(answer, StartAt)]
    gaps = [later.at - sooner.at for sooner, later in pairwise(first)]
    assert all(abs(gap - 1) < 0.1 for gap in gaps)
    again = await asker.ask_all(*reversed(wants))
    for before, after in zip(reversed(first), again, strict=True):
        assert isinstance(after, StartAt)
        assert abs(after.at - before.at) < 0.1


async def test_a_booked_turn_comes_and_is_used_up(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(600, 1)
    await asker.granted(1, own=(replace(rate, cost=600),))
    want = asker.want(own=(rate,))
    answer = await asker.ask(want)
    assert isinstance(answer, StartAt)
    await asyncio.sleep(max(0.0, answer.at - time.time()) + 0.02)
    assert isinstance(await asker.ask(want), Granted)
    # The next one is behind what has started, and behind nothing else.
    assert 0 < await seconds_until(asker.limits, rate) < 0.11


async def test_high_overtakes_the_booked_flood_of_its_tenant(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(60, 1)
    await asker.granted(1, own=(replace(rate, cost=60),))
    flood = [asker.want(own=(rate,), rank=3) for _ in range(50)]
    await asker.ask_all(*flood)
    last = await asker.ask(flood[-1])
    answer = await asker.ask(asker.want(own=(rate,), rank=0))
    assert isinstance(answer, StartAt)
    assert answer.at - time.time() < 1.1
    behind = await asker.ask(flood[-1])
    assert isinstance(last, StartAt)
    assert isinstance(behind, StartAt)
    assert abs(behind.at - last.at - 1) < 0.1, "every turn of the flood is one later"


async def test_true_usage_replaces_the_estimate(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(600, 300, counts="tokens")
    requests = new_rate(60, 60)
    for used, left_s in ((100, 10), (500, 50), (None, 30)):
        tokens = new_rate(600, 300, counts="tokens")
        (held,) = await asker.granted(1, own=(tokens, requests))
        await asker.limits.settle([Spent(held, used)])
        full = replace(tokens, cost=600)
        assert abs(await seconds_until(asker.limits, full) - left_s) < 1
        requests = new_rate(60, 60)
    (held,) = await asker.granted(1, own=(rate, requests))
    await asker.limits.settle([Spent(held, 0)])
    assert await seconds_until(asker.limits, requests) > 55, "the request itself counts"


async def test_a_larger_one_than_the_bucket_goes_when_that_is_full(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(600, 900, counts="tokens")
    assert len(await asker.granted(1, own=(rate,))) == 1
    assert 89 < await seconds_until(asker.limits, rate) <= 90


async def test_a_shared_rate_is_waited_for_and_never_booked(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(60, 1)
    await asker.granted(1, shared=(replace(rate, cost=60),))
    answers = await asker.ask_all(*(asker.want(shared=(rate,)) for _ in range(5)))
    for answer in answers:
        assert isinstance(answer, Wait)
        assert answer.what == rate.what
        assert answer.until is not None
        assert 0.5 < answer.until - time.time() <= 1


async def test_a_small_one_does_not_overtake_a_large_one_under_a_shared_rate(
    engine: Process,
) -> None:
    """Else the small ones of others would keep the bucket too empty for it for ever."""
    asker, rate = Asker(engine), new_rate(60, 1)
    await asker.granted(1, shared=(replace(rate, cost=30),))
    large = asker.want(shared=(replace(rate, cost=40),))
    small = asker.want(shared=(rate,))
    for answer in await asker.ask_all(large, small):
        assert isinstance(answer, Wait)
        assert answer.until is not None
        assert 9 < answer.until - time.time() <= 10
    assert len(granted_of([await asker.ask(small)])) == 1


async def test_one_without_a_slot_is_charged_nothing(engine: Process) -> None:
    asker, rate = Asker(engine), new_rate(600, 600)
    await asker.granted(1, slots=1)
    answer = await asker.ask(asker.want(slots=1, own=(rate,)))
    assert waits(answer)
    assert await seconds_until(asker.limits, rate) <= 0


async def test_a_flood_of_one_key_is_not_ahead_of_the_tenants_others(engine: Process) -> None:
    """Who waits for its key's limit alone has no turn under the tenant's yet."""
    asker = Asker(engine)
    of_key, of_tenant = new_rate(60, 1), new_rate(600, 1)
    await asker.granted(1, own=(replace(of_key, cost=60),))
    await asker.ask_all(*(asker.want(own=(of_key, of_tenant)) for _ in range(100)))
    assert await seconds_until(asker.limits, of_tenant) <= 0


@two_processes
async def test_processes_share_a_budget(engine: Process, other: Process) -> None:
    one, two, budget = Asker(engine), Asker(other), new_rate(20, 1)
    asked = [asker.ask(asker.want(own=(budget,))) for _ in range(30) for asker in (one, two)]
    assert len(granted_of(list(await asyncio.gather(*asked)))) in (20, 21)
