"""The names and arguments that RabbitMQ is asked for; once in use they can never change."""

from __future__ import annotations

import pytest

from broker.topology import TIERS, Topology, tier_for
from schemas.priority import PRIORITIES, Lane, Priority

TOPOLOGY = Topology("ns")
TIER_QUEUES = [f"ns.retry.{name}" for name in ("1s", "5s", "30s", "2m", "10m", "1h", "6h")]
AT_LEAST_ONCE = {
    "x-queue-type": "quorum",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
    "x-delivery-limit": 10_000,
}


def test_a_work_queue_is_named_by_model_priority_and_lane() -> None:
    queue = TOPOLOGY.work_queue("llama-3", Priority.HIGH)
    assert (queue.name, queue.exchange) == ("ns.q.llama-3.high.open", "ns.work")
    assert queue.routing_key == "llama-3.high.open"
    assert queue.arguments == {**AT_LEAST_ONCE, "x-dead-letter-exchange": "ns.dead"}
    assert TOPOLOGY.work_queue("llama-3", Priority.HIGH, Lane.FLOOD).name.endswith(".flood")


def test_a_retry_tier_returns_to_the_work_exchange_with_the_original_key() -> None:
    queues = [TOPOLOGY.retry_queue(tier) for tier in TIERS]
    assert [queue.name for queue in queues] == TIER_QUEUES
    for tier, queue in zip(TIERS, queues, strict=True):
        assert queue.exchange == queue.name
        assert queue.arguments == {
            **AT_LEAST_ONCE,
            "x-dead-letter-exchange": "ns.work",
            "x-message-ttl": tier.delay_s * 1000,
        }


def test_dead_letters_never_go_back_by_themselves() -> None:
    assert TOPOLOGY.dead_queue.arguments == {
        "x-queue-type": "quorum",
        "x-delivery-limit": 10_000,
    }


def test_what_is_pointed_at_comes_first() -> None:
    names = [queue.name for queue in TOPOLOGY.shared_queues()]
    assert names == ["ns.dead", *TIER_QUEUES]
    kinds = {exchange.name: exchange.kind for exchange in TOPOLOGY.exchanges()}
    fanouts = dict.fromkeys([*names, "ns.intake.stray"], "fanout")
    assert kinds == {"ns.work": "topic", "ns.intake": "topic", **fanouts}


def test_what_fits_no_intake_queue_comes_to_that_of_low() -> None:
    assert TOPOLOGY.intake.arguments == {"alternate-exchange": "ns.intake.stray"}
    queues = TOPOLOGY.intake_queues()
    assert [queue.name for queue in queues] == [
        "ns.in.high",
        "ns.in.normal",
        "ns.in.low",
        "ns.in.batch",
    ]
    assert [queue.routing_key for queue in queues] == ["*.high", "*.normal", "*.low", "*.batch"]
    assert [queue.strays for queue in queues] == [None, None, "ns.intake.stray", None]
    for queue in queues:
        assert queue.arguments == {**AT_LEAST_ONCE, "x-dead-letter-exchange": "ns.dead"}


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("model", ["m", "Llama 3.1/8B", "模型", "x" * 500, "a=b"])
def test_every_model_has_a_name_that_rabbitmq_and_its_client_take(
    model: str, priority: Priority
) -> None:
    queue = Topology("n" * 40).work_queue(model, priority, Lane.FLOOD)
    assert len(queue.name.encode()) <= 255
    assert queue.routing_key.count(".") == 2
    assert queue.name.replace(".", "").replace("-", "").replace("_", "").isalnum()
    assert queue.name.isascii()


@pytest.mark.parametrize(
    ("delay_s", "name"),
    [
        (-1, "1s"),
        (0, "1s"),
        (1, "1s"),
        (4.99, "1s"),
        (5, "5s"),
        (29, "5s"),
        (30, "30s"),
        (599, "2m"),
        (600, "10m"),
        (3_600, "1h"),
        (21_600, "6h"),
    ],
)
def test_the_largest_tier_not_beyond_the_delay(delay_s: float, name: str) -> None:
    assert tier_for(delay_s).name == name


def test_a_delay_beyond_all_tiers_takes_the_last() -> None:
    assert tier_for(1e9) is TIERS[-1]


def test_tiers_grow() -> None:
    delays = [tier.delay_s for tier in TIERS]
    assert delays == sorted(set(delays))
