"""Which limits a request meets: its key's, its tenant's, its model's, its backend's."""

from __future__ import annotations

from typing import Any

import pytest

from broker.ports import Cap, Rate, Want
from broker.scheduling.asking import Asking, FoundOut
from schemas.config import Config
from schemas.priority import Priority
from tests.fakes.envelopes import make_envelope

HASH = "sha256:" + "0" * 64
CONFIG: dict[str, Any] = {
    "backends": {"gpu": {"urls": ["http://a/v1"], "concurrency": 4, "rpm": 100, "tpm": 2_000}},
    "models": {
        "m": {"targets": [{"backend": "gpu"}], "max_parallel_requests": 3},
        "free": {"targets": [{"backend": "gpu"}]},
    },
    "tenants": {
        "acme": {
            "models": ["*"],
            "rpm": 60,
            "max_parallel_requests": 5,
            "keys": [{"name": "ci", "hash": HASH, "tpm": 500}],
        }
    },
}


@pytest.fixture
def asking() -> Asking:
    return Asking(Config.model_validate(CONFIG))


def want(asking: Asking, **changes: Any) -> Want:
    return asking.want(make_envelope(model="m", **changes), "gpu", cost=120.0, due=7.0)


def test_the_keys_limits_come_before_the_tenants(asking: Asking) -> None:
    assert want(asking, tenant="acme", key_id="ci").own == (
        Rate("key:acme/ci:tpm", 500, 120.0, "tpm of key ci of tenant acme", "tokens"),
        Rate("tenant:acme:rpm", 60, 1, "rpm of tenant acme", "requests"),
        Cap("tenant:acme:parallel", 5, "max_parallel_requests of tenant acme"),
    )


def test_the_models_and_the_backends_limits_are_shared(asking: Asking) -> None:
    asked = want(asking)
    assert asked.own == ()
    assert asked.shared == (
        Cap("model:m:parallel", 3, "max_parallel_requests of model m"),
        Rate("backend:gpu:rpm", 100, 1, "rpm of backend gpu", "requests"),
        Rate("backend:gpu:tpm", 2_000, 120.0, "tpm of backend gpu", "tokens"),
    )
    assert (asked.slot.key, asked.slot.limit) == ("gpu", 4)


def test_a_want_says_who_waits_and_how_urgently(asking: Asking) -> None:
    asked = want(asking, id="req_1", priority=Priority.LOW, deadline=99.0)
    assert (asked.request_id, asked.model, asked.score, asked.deadline) == (
        "req_1",
        "m",
        (2, 7.0),
        99.0,
    )


def test_another_key_or_model_meets_other_limits(asking: Asking) -> None:
    of_tenant = want(asking, tenant="acme", key_id="laptop").own
    assert [each.key for each in of_tenant] == ["tenant:acme:rpm", "tenant:acme:parallel"]
    other = asking.want(make_envelope(model="free"), "gpu", 1.0, 1.0)
    assert [each.key for each in other.shared] == ["backend:gpu:rpm", "backend:gpu:tpm"]


def test_batch_leaves_a_part_of_the_slots_to_the_others(asking: Asking) -> None:
    asked = want(asking, priority=Priority.BATCH)
    assert asked.beside_live == Cap(
        "backend:gpu:batch", 3, "the part of backend gpu that batch requests may hold beside others"
    )
    for priority in (Priority.HIGH, Priority.NORMAL, Priority.LOW):
        assert want(asking, priority=priority).beside_live is None


@pytest.mark.parametrize(
    ("most_slots", "concurrency", "limit"),
    [(0.75, 1, 1), (0.75, 2, 1), (0.75, 8, 6), (0.01, 8, 1), (0.29, 100, 29), (0.99, 8, 7)],
)
def test_the_part_is_rounded_down_to_one_slot_at_least(
    most_slots: float, concurrency: int, limit: int
) -> None:
    backend = {"urls": ["http://a/v1"], "concurrency": concurrency}
    batch = {"most_slots": most_slots}
    config = {"backends": {"gpu": backend}, "scheduling": {"batch": batch}}
    asked = want(Asking(Config.model_validate(config)), priority=Priority.BATCH).beside_live
    assert asked is not None
    assert asked.limit == limit


def test_all_the_slots_leave_nothing(asking: Asking) -> None:
    config = Config.model_validate({**CONFIG, "scheduling": {"batch": {"most_slots": 1}}})
    assert want(Asking(config), priority=Priority.BATCH).beside_live is None


def test_where_concurrency_is_found_out_each_process_leaves_a_part_of_its_own(
    asking: Asking,
) -> None:
    envelope = make_envelope(model="m", priority=Priority.BATCH)
    found = [FoundOut("a:1", 40), FoundOut("b:1", 2)]
    caps = [asking.want(envelope, "gpu", 1.0, 1.0, each).beside_live for each in found]
    assert [(cap.key, cap.limit) for cap in caps if cap is not None] == [
        ("backend:gpu:batch:a:1", 30),
        ("backend:gpu:batch:b:1", 1),
    ]


def test_each_request_is_asked_for_at_its_own_cost(asking: Asking) -> None:
    envelope = make_envelope(model="free")
    costs = [asking.want(envelope, "gpu", cost, 1.0).shared[1] for cost in (10.0, 20.0)]
    assert [each.cost for each in costs if isinstance(each, Rate)] == [10.0, 20.0]
