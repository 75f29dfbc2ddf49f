"""Where a client may be answered: nowhere that another tenant reads."""

from __future__ import annotations

import pytest

from api.amqp_intake.addresses import may_reply_to

_TENANTS = ("a", "a.b", "other")


@pytest.mark.parametrize(
    ("address", "tenant", "allowed"),
    [
        ("reply.a.1", "a", True),
        ("reply.a.bc.1", "a", True),
        ("reply.a.b.1", "a.b", True),
        ("reply.a.b.1", "a", False),
        ("reply.a.1", "a.b", False),
        ("reply.other.1", "a", False),
        ("reply.a", "a", False),
        ("amq.gen-x", None, True),
        ("amq.rabbitmq.reply-to.x", None, True),
        ("reply.a.1", None, False),
    ],
)
def test_replies_go_to_their_own_tenant(address: str, tenant: str | None, allowed: bool) -> None:
    assert may_reply_to(address, tenant, _TENANTS) is allowed
