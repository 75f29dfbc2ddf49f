"""What a tenant's RabbitMQ user may do, as expressions that RabbitMQ will match."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from broker.grants import granted
from schemas.ids import slug
from schemas.priority import Priority
from schemas.routes import matched

_PART = st.text(alphabet="abcXYZ019-_/.:é ", max_size=12)


def _topics(models: list[str], *priorities: Priority) -> re.Pattern[str]:
    grant = granted("acme", models, priorities or tuple(Priority), "/", "penstock")
    return re.compile(grant.topics)


@given(before=_PART, after=_PART, text=_PART)
def test_every_name_that_a_pattern_opens_can_be_published_to(
    before: str, after: str, text: str
) -> None:
    pattern, name = f"{before}*{after}", f"{before}{text}{after}"
    assert matched(pattern, name) is not None
    assert _topics([pattern]).search(f"{slug(name)}.high")


def test_a_plain_name_opens_itself_alone() -> None:
    topics = _topics(["Qwen/Qwen2", "llama"], Priority.NORMAL, Priority.LOW)
    assert topics.search(f"{slug('Qwen/Qwen2')}.normal")
    assert topics.search("llama.low")
    for other in ("llama.high", "llama.batch", "llama2.low", "x-llama.low", "llama.low.x", "llama"):
        assert not topics.search(other), other


def test_a_tenant_without_models_can_publish_nothing() -> None:
    topics = _topics([])
    assert not topics.search("llama.high")
    assert not topics.search(".high")


def test_queues_of_others_are_out_of_reach() -> None:
    grant = granted("a.b", ["*"], tuple(Priority), "/", "penstock")
    for allowed in ("reply.a.b.1", "amq.gen-x"):
        assert re.search(grant.configure, allowed)
        assert re.search(grant.read, allowed)
    for other in (
        "reply.aXb.1",
        "reply.a.bc.1",
        "penstock.q.m.high.open",
        "x.reply.a.b.1",
        "amq.x",
    ):
        assert not re.search(grant.read, other), other
    for exchange in (
        "",
        "amq.default",
        "penstock.work",
        "penstock.intake.stray",
        "penstockXintake",
    ):
        assert not re.search(grant.write, exchange), exchange


def test_queues_of_a_tenant_whose_name_begins_alike_are_out_of_reach() -> None:
    tenants = ("a", "a.b", "a.c+d", "ab")
    grant = granted("a", ["*"], tuple(Priority), "/", "penstock", tenants)
    for expression in (grant.configure, grant.read):
        for own in ("reply.a.1", "reply.a.bc.1", "reply.a.b", "amq.gen-x"):
            assert re.search(expression, own), own
        for foreign in ("reply.a.b.1", "reply.a.c+d.1", "reply.ab.1"):
            assert not re.search(expression, foreign), foreign
    of_longer = granted("a.b", ["*"], tuple(Priority), "/", "penstock", tenants)
    assert re.search(of_longer.read, "reply.a.b.1")


def test_the_commands_name_what_they_set() -> None:
    grant = granted("acme", ["m"], (Priority.HIGH,), "prod", "ns")
    assert grant.commands() == [
        ("set_permissions", "-p", "prod", "acme", grant.configure, r"^ns\.intake$", grant.read),
        ("set_topic_permissions", "-p", "prod", "acme", "ns.intake", r"^(m)\.(high)$", "^$"),
    ]
