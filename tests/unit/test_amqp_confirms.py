"""Answers find their publishes, whatever RabbitMQ's order and however many it answers at once."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from broker.amqp.confirms import Confirms, Outcome, Sent

ANSWERS = st.lists(
    st.one_of(
        st.just("publish"),
        st.tuples(st.sampled_from(Outcome), st.integers(0, 30), st.booleans()),
    ),
    max_size=80,
)


@given(ANSWERS)
def test_each_publish_gets_the_first_answer_that_speaks_of_it(
    steps: list[str | tuple[Outcome, int, bool]],
) -> None:
    confirms = Confirms()
    sent: list[Sent] = []
    expected: list[Outcome | None] = []
    for step in steps:
        if isinstance(step, str):
            assert confirms.next_number == len(sent) + 1
            sent.append(confirms.add())
            expected.append(None)
            continue
        outcome, tag, multiple = step
        if outcome is Outcome.RETURNED:
            confirms.returned(tag)
            meant = {tag}
        else:
            confirms.answer(tag, multiple, outcome)
            meant = set(range(1, (tag or len(sent)) + 1)) if multiple else {tag}
        for number in meant:
            if number <= len(sent) and number > 0 and expected[number - 1] is None:
                expected[number - 1] = outcome
        assert [each.outcome for each in sent] == expected
    confirms.end(Outcome.LOST)
    assert [each.outcome for each in sent] == [each or Outcome.LOST for each in expected]


async def test_whoever_waits_is_woken_and_may_be_followed_by_another() -> None:
    sent = Sent()
    until = asyncio.get_running_loop().time() + 60
    first = asyncio.create_task(sent.within(until))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(sent.within(until))
    await asyncio.sleep(0)
    sent.settle(Outcome.CONFIRMED)
    assert (first.cancelled(), await second) == (True, Outcome.CONFIRMED)
    assert await sent.within(until) is Outcome.CONFIRMED


async def test_no_answer_in_time_is_none_and_a_late_one_is_still_taken() -> None:
    sent = Sent()
    now = asyncio.get_running_loop().time()
    assert await sent.within(now + 0.01) is None
    sent.settle(Outcome.NACKED)
    assert await sent.within(now) is Outcome.NACKED
