"""Whether our user may configure, write and read: one message through a queue that then is gone."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.abc import AbstractChannel
from aiormq.exceptions import DeliveryError, PublishError

from broker.amqp.probing import QUESTION_S, REFUSALS, Prober
from broker.findings import Examined
from broker.topology import Topology
from schemas.errors import QueueUnavailable

_BODY = b"penstock doctor"
# What RabbitMQ calls the exchange without a name when it looks at permissions.
_DEFAULT = "amq.default"

Step = Callable[[AbstractChannel], Awaitable[object]]


class _Probe:
    """The steps of one message; each needs one right more than those before."""

    def __init__(self, topology: Topology, *, work_exists: bool) -> None:
        mark = secrets.token_hex(6)
        # Named like a work queue: the same rights open it.
        self._queue = f"{topology.namespace}.q.doctor-{mark}"
        self._own_exchange = not work_exists
        self._exchange = topology.work.name if work_exists else f"{topology.namespace}.work-{mark}"

    def steps(self) -> list[tuple[str, Step]]:
        """Return each step after the right it needs."""
        queue, exchange = self._queue, self._exchange
        steps: list[tuple[str, Step]] = [
            (f"configure {queue}", self._declare),
            (f"write to {queue} and read from {exchange}", self._bind),
            (f"write to {exchange}", self._publish),
            (f"read from {queue}", self._take),
        ]
        if self._own_exchange:
            steps.insert(0, (f"configure {exchange}", self._declare_exchange))
        return steps

    async def answer(self, channel: AbstractChannel) -> None:
        """Publish as a reply goes: by the name of its queue."""
        await channel.basic_publish(
            _BODY, routing_key=self._queue, mandatory=True, timeout=QUESTION_S
        )

    async def remove(self, prober: Prober) -> None:
        """Delete what would outlive the connection."""
        if self._own_exchange:
            with suppress(QueueUnavailable, *REFUSALS):
                await prober.ask(
                    lambda channel: channel.exchange_delete(self._exchange, timeout=QUESTION_S)
                )

    async def _declare_exchange(self, channel: AbstractChannel) -> None:
        # With auto_delete it goes with the queue, should this process be killed before `remove`.
        await channel.exchange_declare(
            self._exchange, exchange_type="topic", auto_delete=True, timeout=QUESTION_S
        )

    async def _declare(self, channel: AbstractChannel) -> None:
        await channel.queue_declare(self._queue, exclusive=True, timeout=QUESTION_S)

    async def _bind(self, channel: AbstractChannel) -> None:
        await channel.queue_bind(self._queue, self._exchange, self._queue, timeout=QUESTION_S)

    async def _publish(self, channel: AbstractChannel) -> None:
        await channel.basic_publish(
            _BODY,
            exchange=self._exchange,
            routing_key=self._queue,
            mandatory=True,
            timeout=QUESTION_S,
        )

    async def _take(self, channel: AbstractChannel) -> None:
        found = await channel.basic_get(self._queue, no_ack=True, timeout=QUESTION_S)
        if found.body != _BODY:
            raise QueueUnavailable("the confirmed message was not in its queue")


async def try_rights(examined: Examined, prober: Prober, topology: Topology, user: str) -> bool:
    """Say whether a message goes all the way; return False when more questions would be vain."""
    probe = _Probe(topology, work_exists=await _exists(prober, topology.work.name))
    try:
        for right, step in probe.steps():
            try:
                await prober.ask(step)
            except REFUSALS as error:
                examined.fail("permissions", *_refused(user, right, topology, error))
                return False
            except (DeliveryError, PublishError) as error:
                examined.fail("messages", f"it rejects one: {error}", "look at RabbitMQ's log")
                return True
        await _try_replies(examined, prober, probe, topology, user)
    except QueueUnavailable as error:
        examined.fail("messages", *await _silent(prober, error))
        return False
    finally:
        await probe.remove(prober)
    examined.ok("permissions", f"user {user} may configure, write and read {topology.namespace}.*")
    examined.ok("messages", "one was confirmed and came back; no memory or disk alarm")
    return True


async def _try_replies(
    examined: Examined, prober: Prober, probe: _Probe, topology: Topology, user: str
) -> None:
    """Say whether those who ask by AMQP can be answered; nobody else needs that right."""
    try:
        await prober.ask(probe.answer)
    except REFUSALS as error:
        examined.warn(
            "replies",
            f"user {user} may not write to {_DEFAULT}, which replies to AMQP clients go by: "
            f"{error}",
            _way_out(topology, user),
        )
    else:
        examined.ok("replies", "AMQP clients can be answered")


async def _exists(prober: Prober, exchange: str) -> bool:
    try:
        await prober.ask(
            lambda channel: channel.exchange_declare(exchange, passive=True, timeout=QUESTION_S)
        )
    except ChannelNotFoundEntity:
        return False
    return True


def _refused(user: str, right: str, topology: Topology, error: Exception) -> tuple[str, str]:
    return f"user {user} may not {right}: {error}", _way_out(topology, user)


def _way_out(topology: Topology, user: str) -> str:
    ours = f"^{topology.namespace}\\."
    write = f"{ours}|^{re.escape(_DEFAULT)}$"
    return f"rabbitmqctl set_permissions -p VHOST {user} '{ours}' '{write}' '{ours}'"


async def _silent(prober: Prober, error: QueueUnavailable) -> tuple[str, str]:
    if await prober.blocked():
        return (
            "a memory or disk alarm: RabbitMQ takes no messages",
            "`rabbitmq-diagnostics alarms` names it; free memory or disk, or raise the limit",
        )
    return f"none came through: {error}", "look at RabbitMQ's log"
