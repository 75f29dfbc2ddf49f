"""The cap on batch requests beside live ones: exact from the first live start on."""

from __future__ import annotations

from typing import Any

from broker.ports import Cap, Granted, Spent
from tests.conformance.asking import Asker, granted_of, new_cap, waits
from tests.conformance.stages import Process, two_processes

BATCH, NORMAL = 3, 1


def under(asker: Asker, limit: int) -> dict[str, Any]:
    """Return what a batch request asks for beside its slot."""
    return {"rank": BATCH, "beside_live": Cap(f"backend:{asker.backend}:batch", limit, "a share")}


async def test_without_live_requests_batch_has_every_slot(engine: Process) -> None:
    asker = Asker(engine)
    assert len(await asker.granted(6, slots=4, **under(asker, 2))) == 4


async def test_beside_live_requests_batch_keeps_to_its_share(engine: Process) -> None:
    asker = Asker(engine)
    (live,) = await asker.granted(1, slots=4)
    batch = await asker.granted(4, slots=4, **under(asker, 2))
    assert len(batch) == 2
    assert len(await asker.granted(4, slots=4)) == 1, "the other slot was left to live requests"
    await asker.limits.settle([Spent(live)])
    assert await asker.granted(1, slots=4, **under(asker, 2)) == []
    await asker.limits.settle([Spent(batch[0])])
    assert len(await asker.granted(2, slots=4, **under(asker, 2))) == 1


async def test_what_batch_has_more_than_its_share_it_gives_up_as_it_ends(engine: Process) -> None:
    asker = Asker(engine)
    batch = await asker.granted(4, slots=4, **under(asker, 2))
    assert waits(await asker.ask(asker.want(slots=4)))
    await asker.limits.settle([Spent(batch[0])])
    assert isinstance(await asker.ask(asker.want(slots=4)), Granted)
    await asker.limits.settle([Spent(batch[1])])
    assert await asker.granted(1, slots=4, **under(asker, 2)) == []
    await asker.limits.settle([Spent(batch[2])])
    assert len(await asker.granted(2, slots=4, **under(asker, 2))) == 1
    assert await asker.held() == 3


async def test_both_may_ask_together(engine: Process) -> None:
    asker = Asker(engine)
    wants = [asker.want(slots=4), *(asker.want(slots=4, **under(asker, 2)) for _ in range(4))]
    answers = await asker.ask_all(*wants)
    assert [isinstance(answer, Granted) for answer in answers] == [True, True, True, False, False]


async def test_the_share_goes_with_other_limits(engine: Process) -> None:
    asker, cap = Asker(engine), new_cap(9)
    await asker.granted(1, slots=8, own=(cap,))
    batch = await asker.granted(4, slots=8, own=(cap,), **under(asker, 2))
    assert len(batch) == 2
    assert await asker.granted(1, slots=8, **under(asker, 2)) == []
    await asker.limits.settle([Spent(each, 1) for each in batch])
    assert len(await asker.granted(3, slots=8, **under(asker, 2))) == 2
    assert await engine.limits.held(cap.key) == 1


async def test_what_is_renewed_stays_beyond_the_share(engine: Process) -> None:
    asker = Asker(engine)
    batch = await asker.granted(4, slots=5, **under(asker, 1))
    await asker.granted(1, slots=5)
    assert await asker.limits.renew(batch) == []
    assert await asker.held() == 5
    await asker.limits.refund(batch)
    assert await asker.held() == 1
    assert len(await asker.granted(2, slots=5, **under(asker, 1))) == 1


async def test_its_place_goes_to_the_best_that_waits(engine: Process) -> None:
    late, early = Asker(engine, "late"), Asker(engine, "early")
    early.backend = late.backend
    share = under(late, 1)
    await late.granted(1, slots=9)
    (held,) = await late.granted(1, slots=9, **share)
    assert waits(await late.ask(late.want(slots=9, due=200.0, **share)))
    assert waits(await early.ask(early.want(slots=9, due=100.0, **share)))
    await late.limits.settle([Spent(held)])
    assert waits(await late.ask(late.want(slots=9, due=200.0, **share)))
    assert isinstance(await early.ask(early.want(slots=9, due=100.0, **share)), Granted)


@two_processes
async def test_all_processes_share_it(engine: Process, other: Process) -> None:
    one, two = Asker(engine), Asker(other)
    two.backend = one.backend
    await one.granted(1, slots=8)
    wants = [asker.want(slots=8, **under(one, 3)) for asker in (one, two) for _ in range(4)]
    granted = [
        *granted_of(await one.ask_all(*wants[:2])),
        *granted_of(await two.ask_all(*wants[4:])),
    ]
    assert len(granted) == 3
    await one.limits.settle([Spent(granted[0])])
    assert len(await two.granted(4, slots=8, **under(one, 3))) == 1
