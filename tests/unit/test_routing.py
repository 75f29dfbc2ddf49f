"""Targets keep their shares and their answers; replicas share the load."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas.ids import new_request_id
from workers.routing.replicas import Replicas
from workers.routing.targets import Target, choose_target

TARGETS = (Target("a", "m", 95), Target("b", "m", 5), Target("off", "m", 0))


def test_the_same_request_meets_the_same_target() -> None:
    request_id = new_request_id()
    assert len({choose_target(TARGETS, request_id) for _ in range(20)}) == 1


def test_weights_are_shares() -> None:
    counts = Counter(choose_target(TARGETS, new_request_id()).backend for _ in range(20_000))
    assert counts["off"] == 0
    assert counts["b"] / 20_000 == pytest.approx(0.05, abs=0.01)


def test_the_least_loaded_replica_is_chosen() -> None:
    replicas = Replicas(["u1", "u2", "u3"])
    with replicas.calling("u1"), replicas.calling("u3"):
        assert replicas.choose() == "u2"
    assert {replicas.choose() for _ in range(6)} == {"u1", "u2", "u3"}


def test_a_tried_replica_is_chosen_only_when_all_were() -> None:
    replicas = Replicas(["u1", "u2"])
    assert replicas.choose(tried=["u1"]) == "u2"
    assert replicas.choose(tried=["u1", "u2"]) in ("u1", "u2")


def test_other_urls_are_chosen_at_once_and_open_calls_stay_counted() -> None:
    replicas = Replicas(["gone", "stays"])
    with replicas.calling("stays"):
        replicas.urls = ["stays", "new"]
        assert {replicas.choose() for _ in range(4)} == {"new"}
        assert replicas.untried(["gone", "new"]) == 1
