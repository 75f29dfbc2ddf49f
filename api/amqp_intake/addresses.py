"""Where replies may go: a worker can write to any queue, so a client must not choose freely."""

from __future__ import annotations

# The pseudo-queue of a live channel, and the names that RabbitMQ itself gives.
_OF_RABBITMQ = ("amq.rabbitmq.reply-to.", "amq.gen-")


def may_reply_to(address: str, tenant: str | None) -> bool:
    """Tell whether a client of `tenant`, None for an unknown one, may be answered there."""
    if address.startswith(_OF_RABBITMQ):
        return True
    return tenant is not None and address.startswith(f"reply.{tenant}.")
