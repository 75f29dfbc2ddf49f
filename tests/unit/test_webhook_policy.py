"""When an event is sent again, when a receiver is left alone, and whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ports import PostState
from schemas.webhook_config import WebhooksConfig
from schemas.webhook_events import TEST
from tests.fakes.posts import make_post
from workers.webhooks.bounds import (
    IN_ALL,
    PER_RECEIVER,
    PER_TENANT,
    WAITING,
    WAITING_OF_TENANT,
    Bounds,
    Receiver,
)
from workers.webhooks.breaker import FIRST_S, LONGEST_S, OPENS_AFTER, PROBE_S, Breaker
from workers.webhooks.judging import JITTER, is_old, judge
from workers.webhooks.sender import Answer

RETRY_S = WebhooksConfig().retry_s
NOW = 1_000_000.0
FAILED = Answer(500, "it answered 500")
pauses = st.lists(st.floats(0, 86_400), min_size=1, max_size=20)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_delivered(status: int) -> None:
    assert judge(make_post(), Answer(status, None), NOW, RETRY_S, 0).state is PostState.DELIVERED


@pytest.mark.parametrize("status", [None, 100, 301, 302, 307, 308, 400, 404, 429, 500, 503, 600])
def test_all_else_is_tried_again(status: int | None) -> None:
    verdict = judge(make_post(created_at=NOW), Answer(status, "x"), NOW, RETRY_S, 0)
    assert (verdict.state, verdict.due_at) == (PostState.PENDING, NOW + 5)


def test_410_is_the_end() -> None:
    verdict = judge(make_post(), Answer(410, "x"), NOW, RETRY_S, 0)
    assert (verdict.state, verdict.gone) == (PostState.DROPPED, True)


def test_a_test_is_tried_once() -> None:
    post = make_post(request_id=TEST, created_at=NOW)
    assert judge(post, FAILED, NOW, RETRY_S, 0).state is PostState.FAILED


@given(pauses, st.floats(0, 1, exclude_max=True))
def test_the_schedule_is_followed_to_its_end(retry_s: list[float], drawn: float) -> None:
    """As many attempts as there are pauses, none earlier than its own."""
    now, made = NOW, 0
    while True:
        verdict = judge(make_post(created_at=NOW, tried=made), FAILED, now, retry_s, drawn)
        made += 1
        if verdict.due_at is None:
            break
        assert verdict.state is PostState.PENDING
        assert retry_s[made] <= verdict.due_at - now + 1e-6
        assert verdict.due_at - now <= retry_s[made] * (1 + JITTER) + 1e-6
        now = verdict.due_at
    assert (verdict.state, made) == (PostState.FAILED, len(retry_s))
    # Not even the longest schedule makes an event too old before its last attempt.
    assert not is_old(make_post(created_at=NOW), now, retry_s)


def test_a_receiver_that_asks_for_time_is_given_it() -> None:
    post = make_post(created_at=NOW)
    assert judge(post, Answer(429, "x", 3_600), NOW, RETRY_S, 0).due_at == NOW + 3_600
    assert judge(post, Answer(429, "x", 1), NOW, RETRY_S, 0).due_at == NOW + 5


def test_an_event_that_waited_for_ever_is_given_up() -> None:
    post = make_post(created_at=NOW)
    assert judge(post, FAILED, NOW + 3 * 86_400, RETRY_S, 0).state is PostState.FAILED


def opened(times: int = 1) -> tuple[Breaker, float]:
    """Return a breaker that has just opened, so many times in a row, and the time."""
    breaker, now = Breaker(), NOW
    for _ in range(OPENS_AFTER):
        assert breaker.wait_until(now) is None
        breaker.began(now)
        breaker.failed(now, now)
    for _ in range(times - 1):
        now = breaker.wait_until(now) or now
        breaker.began(now)
        breaker.failed(now, now)
    return breaker, now


def test_a_breaker_opens_for_ever_longer_and_never_for_long() -> None:
    pauses_s = []
    for times in range(1, 10):
        breaker, now = opened(times)
        pauses_s.append((breaker.wait_until(now) or now) - now)
    assert pauses_s[:4] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S, 8 * FIRST_S]
    assert pauses_s[-1] == LONGEST_S


def test_an_open_breaker_lets_one_attempt_through() -> None:
    breaker, now = opened()
    now = breaker.wait_until(now) or now
    assert breaker.wait_until(now) is None
    breaker.began(now)
    assert breaker.wait_until(now) is not None
    # Whoever made it may have died: another one is let through in the end.
    assert breaker.wait_until(now + PROBE_S) is None


def test_failures_of_attempts_from_before_the_opening_tell_nothing_new() -> None:
    breaker, now = opened()
    until = breaker.wait_until(now)
    for _ in range(7):
        breaker.failed(now - 15, now + 1)
    assert breaker.wait_until(now) == until


def test_a_receiver_that_fails_three_times_in_ten_keeps_its_breaker_closed() -> None:
    breaker = Breaker()
    for number in range(9):
        breaker.failed(NOW + number, NOW + number)
    assert breaker.wait_until(NOW + 9) is None


def test_a_receiver_that_asks_for_days_is_held_for_minutes() -> None:
    breaker = Breaker()
    breaker.hold(NOW, 86_400)
    assert breaker.wait_until(NOW) == NOW + 600
    assert not breaker.forgotten(NOW + 600)
    assert breaker.forgotten(NOW + 600 + 3_601)


A, B = Receiver("acme", "a"), Receiver("acme", "b")


def test_a_receiver_that_never_answers_holds_its_own_places_only() -> None:
    bounds: Bounds[int] = Bounds()
    for number in range(WAITING):
        assert bounds.offer(A, number)
    assert not bounds.offer(A, 0)
    for _ in range(PER_RECEIVER):
        assert bounds.take()
    assert bounds.take() is None
    assert bounds.offer(B, 7)
    assert bounds.take() == (B, 7)
    bounds.done(A)
    assert bounds.take() == (A, PER_RECEIVER)
    assert bounds.drop(A) == list(range(PER_RECEIVER + 1, WAITING))


def test_a_tenant_with_many_receivers_keeps_so_much_here_and_no_more() -> None:
    bounds: Bounds[int] = Bounds()
    many = [Receiver("acme", f"r{number}") for number in range(2 * WAITING_OF_TENANT)]
    assert sum(bounds.offer(each, 0) for each in many) == WAITING_OF_TENANT
    assert bounds.offer(Receiver("other", "r"), 0)
    assert bounds.take()
    assert bounds.offer(many[-1], 0)
    assert not bounds.offer(many[-1], 0)
    assert bounds.drop(many[-1]) == [0]
    assert bounds.offer(many[-1], 0)
    assert len(bounds.drop_all()) == WAITING_OF_TENANT + 1
    assert bounds.offer(many[0], 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "take", "done"]), st.integers(0, 60)), max_size=800
    )
)
def test_no_bound_is_passed_and_none_is_lost(steps: list[tuple[str, int]]) -> None:
    bounds: Bounds[int] = Bounds()
    receivers = [Receiver(f"t{number % 3}", f"r{number}") for number in range(61)]
    offered, taken, finished = 0, list[Receiver](), 0
    for what, number in steps:
        if what == "offer":
            for _ in range(20):
                offered += bounds.offer(receivers[number], number)
        elif what == "take":
            while (found := bounds.take()) is not None:
                taken.append(found[0])
                assert receivers[found[1]] == found[0]
        elif taken:
            bounds.done(taken.pop(number % len(taken)))
            finished += 1
        under_way = Counter(taken)
        of_tenant = Counter(each.tenant for each in taken)
        assert len(taken) == bounds.under_way <= IN_ALL
        assert not under_way or max(under_way.values()) <= PER_RECEIVER
        assert not of_tenant or max(of_tenant.values()) <= PER_TENANT
    assert len(bounds.drop_all()) + len(taken) + finished == offered


def test_receivers_take_turns() -> None:
    bounds: Bounds[int] = Bounds()
    for number in range(3):
        bounds.offer(A, number)
    bounds.offer(B, 9)
    taken = [bounds.take() for _ in range(4)]
    assert taken == [(A, 0), (B, 9), (A, 1), (A, 2)]
