"""Replicas share the load, each up to its limit; one that asks for a pause is left alone."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

import pytest

from broker.scheduling.backoff import LONGEST_S
from broker.telemetry import REGISTRY
from schemas.limits import AdaptiveConcurrency
from workers.routing.replicas import Replicas


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def replicas_of(
    *urls: str, concurrency: int | AdaptiveConcurrency = 8, clock: Clock | None = None
) -> Replicas:
    replicas = Replicas("b", clock or Clock())
    replicas.configure(urls, concurrency)
    return replicas


def refused_call(replicas: Replicas, url: str, pause_s: float | None) -> None:
    with replicas.calling(url) as call:
        call.refused(pause_s)


def test_the_least_loaded_is_chosen() -> None:
    replicas = replicas_of("u1", "u2", "u3")
    with replicas.calling("u1"), replicas.calling("u3"):
        assert replicas.choose() == "u2"
    assert {replicas.choose() for _ in range(6)} == {"u1", "u2", "u3"}


def test_a_tried_one_is_chosen_only_when_all_were() -> None:
    replicas = replicas_of("u1", "u2")
    assert replicas.choose(tried=["u1"]) == "u2"
    assert replicas.choose(tried=["u1", "u2"]) in ("u1", "u2")


def test_other_urls_are_chosen_at_once_and_open_calls_stay_counted() -> None:
    replicas = replicas_of("gone", "stays")
    with replicas.calling("stays"):
        replicas.configure(["stays", "new"], 8)
        assert {replicas.choose() for _ in range(4)} == {"new"}
        assert replicas.untried(["gone", "new"]) == 1


def test_room_is_what_the_limits_leave() -> None:
    replicas = replicas_of("u1", concurrency=2)
    assert replicas.room == 2
    with replicas.calling("u1"), replicas.calling("u1"):
        assert replicas.room == 0
        assert replicas.choose() is None
    assert replicas.room == 2


def test_room_is_kept_for_a_call_that_is_about_to_begin() -> None:
    replicas = replicas_of("u1", concurrency=2)
    woken: list[int] = []
    replicas.on_room(lambda: woken.append(replicas.room))
    replicas.expect("slot 1")
    replicas.expect("slot 1")
    assert replicas.room == 1
    replicas.expect("slot 2")
    assert replicas.room == 0
    assert replicas.choose() == "u1"
    replicas.arrived("slot 1")
    replicas.arrived("slot 1")
    assert (replicas.room, woken) == (1, [1])
    replicas.arrived("slot 2")
    assert (replicas.room, woken) == (2, [1])


async def test_a_pause_keeps_calls_away_until_it_is_over() -> None:
    clock = Clock()
    replicas = replicas_of("u1", "u2", clock=clock)
    refused_call(replicas, "u1", 7.0)
    refused_call(replicas, "u1", 2.0)
    assert {replicas.choose() for _ in range(4)} == {"u2"}
    assert replicas.untried(["u2"]) == 0
    refused_call(replicas, "u2", 3.0)
    assert (replicas.choose(), replicas.room) == (None, 0)
    clock.now += 3.0
    assert replicas.choose() == "u2"
    clock.now += 4.0
    assert {replicas.choose() for _ in range(4)} == {"u1", "u2"}


async def test_whoever_waits_for_room_is_woken_when_a_call_or_a_pause_ends() -> None:
    replicas = Replicas("b")
    replicas.configure(["u1"], 1)
    woken = asyncio.Event()
    replicas.on_room(woken.set)
    with replicas.calling("u1") as call:
        call.refused(0.02)
        assert not woken.is_set()
    assert woken.is_set()
    while replicas.room == 0:
        woken.clear()
        await asyncio.wait_for(woken.wait(), 5)
    replicas.let_sleep(woken.set)
    woken.clear()
    replicas.configure(["u2"], 1)
    assert not woken.is_set()


async def test_one_refusal_without_a_pause_keeps_nothing_away_and_many_in_a_row_do() -> None:
    clock = Clock()
    replicas = replicas_of("u1", clock=clock)
    waits = []
    for _ in range(9):
        refused_call(replicas, "u1", None)
        began = clock.now
        while replicas.choose() is None:
            clock.now += 0.05
        waits.append(clock.now - began)
    assert waits[0] == 0
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(LONGEST_S, abs=0.1)
    with replicas.calling("u1") as call:
        call.answered("m", None)
    refused_call(replicas, "u1", None)
    assert replicas.choose() == "u1"


async def test_refusals_of_calls_that_were_open_together_are_one() -> None:
    replicas = replicas_of("u1", clock=(clock := Clock()))
    with ExitStack() as stack:
        calls = [stack.enter_context(replicas.calling("u1")) for _ in range(8)]
        clock.now += 1
        for call in calls:
            call.refused(None)
    assert replicas.choose() == "u1"


def test_a_call_that_timed_out_keeps_no_other_away() -> None:
    replicas = replicas_of("u1")
    for _ in range(9):
        with replicas.calling("u1") as call:
            call.timed_out()
    assert replicas.choose() == "u1"


def test_an_adaptive_replica_grows_with_its_answers_up_to_its_most() -> None:
    clock = Clock()
    replicas = replicas_of("u1", concurrency=AdaptiveConcurrency(min=2, max=6), clock=clock)
    assert replicas.room == 2
    for _ in range(20):
        answer_all(replicas, "u1", clock)
    assert replicas.room == 6


def test_calls_go_where_they_are_fewest_for_the_limit() -> None:
    clock = Clock()
    replicas = replicas_of(
        "big", "small", concurrency=AdaptiveConcurrency(min=1, max=9), clock=clock
    )
    for _ in range(20):
        answer_all(replicas, "big", clock)
    calls = []
    with ExitStack() as stack:
        while (url := replicas.choose()) is not None:
            stack.enter_context(replicas.calling(url))
            calls.append(url)
    assert (calls.count("big"), calls.count("small")) == (9, 1)


def test_a_label_tells_host_and_port_and_no_credentials() -> None:
    url = "http://me:secret@gpu-labels:8000/v1"
    adaptive = AdaptiveConcurrency(min=1, max=9)
    replicas = replicas_of(url, concurrency=adaptive)
    with replicas.calling(url) as call:
        call.answered("m", None)
    assert shown("gpu-labels:8000") is not None
    replicas.configure(["http://gpu-other:8000/v1"], adaptive)
    assert shown("gpu-labels:8000") is None
    assert not [
        sample
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if "secret" in str(sample.labels)
    ]


@pytest.mark.parametrize("before", [4, AdaptiveConcurrency(min=3, max=9)])
def test_a_reload_takes_over_other_limits(before: int | AdaptiveConcurrency) -> None:
    replicas = replicas_of("u1", concurrency=before)
    replicas.configure(["u1"], 5)
    assert replicas.room == 5
    replicas.configure(["u1"], AdaptiveConcurrency(min=2, max=2))
    assert replicas.room == 2


def shown(replica: str) -> float | None:
    return REGISTRY.get_sample_value("penstock_replica_limit", {"backend": "b", "replica": replica})


def answer_all(replicas: Replicas, url: str, clock: Clock) -> None:
    """Fill what `url` takes and answer it all a second later."""
    others = [other for other in replicas._urls if other != url]
    with ExitStack() as stack:
        calls = []
        while replicas.untried(others):
            calls.append(stack.enter_context(replicas.calling(url)))
        clock.now += 1
        for call in calls:
            call.answered("m", 100)


def test_what_is_found_out_is_that_of_all_replicas_and_nothing_where_it_is_fixed() -> None:
    assert replicas_of("u1", "u2").found_out is None
    adaptive = replicas_of("u1", "u2", concurrency=AdaptiveConcurrency(min=3, max=9))
    assert adaptive.found_out == 6
    adaptive.configure(["u1"], AdaptiveConcurrency(min=5, max=9))
    assert adaptive.found_out == 5
