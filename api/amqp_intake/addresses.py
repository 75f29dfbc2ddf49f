"""Where replies may go: a worker can write to any queue, so a client must not choose freely."""

from __future__ import annotations

from collections.abc import Iterable

# The pseudo-queue of a live channel, and the names that RabbitMQ itself gives.
_OF_RABBITMQ = ("amq.rabbitmq.reply-to.", "amq.gen-")


def may_reply_to(address: str, tenant: str | None, tenants: Iterable[str]) -> bool:
    """Tell whether a client of `tenant`, None for an unknown one, may be answered there.

    Of the `tenants` a, and a.b, the queue reply.a.b.c is the latter's.
    """
    if address.startswith(_OF_RABBITMQ):
        return True
    if tenant is None or not address.startswith(f"reply.{tenant}."):
        return False
    closer = (name for name in tenants if name.startswith(f"{tenant}."))
    return not any(address.startswith(f"reply.{name}.") for name in closer)
