"""Whether RabbitMQ's exchanges and queues are those that broker/topology.py says; none is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel

from broker.amqp.declare import WAY_OUT, difference
from broker.amqp.probing import QUESTION_S, REFUSALS, Prober
from broker.findings import Examined
from broker.topology import ExchangeSpec, QueueSpec, Topology
from schemas.errors import QueueUnavailable
from schemas.priority import PRIORITIES, Lane

# Each queue that does not answer costs QUESTION_S.
MOST_SILENT = 3
_OPEN = "`rabbitmqctl list_permissions` shows what our user may; it needs all three rights"


@dataclass(slots=True)
class _Seen:
    """What the queues told."""

    as_declared: int = 0
    missing: int = 0
    waiting: int = 0
    consumers: int = 0
    silent: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


async def look_at_topology(
    examined: Examined, prober: Prober, topology: Topology, models: Iterable[str]
) -> None:
    """Say what exists, what differs, and what does not answer."""
    await _exchanges(examined, prober, topology.exchanges())
    queues = topology.shared_queues() + topology.intake_queues()
    queues += [
        topology.work_queue(model, priority, lane)
        for model in models
        for priority in PRIORITIES
        for lane in Lane
    ]
    seen = _Seen()
    for queue in queues:
        await _look_at(examined, prober, queue, seen)
        if len(seen.silent) == MOST_SILENT:
            break
    _tell(examined, seen)


async def _exchanges(examined: Examined, prober: Prober, exchanges: list[ExchangeSpec]) -> None:
    found = 0
    for exchange in exchanges:
        try:
            await prober.ask(partial(_passive_exchange, exchange))
            await prober.ask(partial(_same_exchange, exchange))
            found += 1
        except ChannelNotFoundEntity:
            continue
        except ChannelPreconditionFailed as error:
            examined.fail("drift", difference(str(error), exchange.name), WAY_OUT)
        except REFUSALS as error:
            examined.fail("permissions", f"{exchange.name}: {error}", _OPEN)
    missing = len(exchanges) - found
    examined.ok("exchanges", f"{found} as declared" + (_made_later(missing) if missing else ""))


async def _look_at(examined: Examined, prober: Prober, queue: QueueSpec, seen: _Seen) -> None:
    try:
        waiting, consumers = await prober.ask(partial(_passive_queue, queue))
        if not waiting and not consumers:
            # A queue without a leader says the same.
            await prober.ask(partial(_take_nothing, queue))
    except ChannelNotFoundEntity:
        seen.missing += 1
        return
    except REFUSALS as error:
        examined.fail("permissions", f"{queue.name}: {error}", _OPEN)
        return
    except QueueUnavailable:
        seen.silent.append(queue.name)
        return
    seen.waiting += waiting
    seen.consumers += consumers
    if waiting and not consumers and not queue.arguments.get("x-message-ttl"):
        seen.left.append(f"{waiting} in {queue.name}")
    try:
        await prober.ask(partial(_same_queue, queue))
        seen.as_declared += 1
    except ChannelPreconditionFailed as error:
        examined.fail("drift", difference(str(error), queue.name), WAY_OUT)
    except REFUSALS as error:
        examined.fail("permissions", f"{queue.name}: {error}", _OPEN)
    except QueueUnavailable:
        seen.silent.append(queue.name)


def _tell(examined: Examined, seen: _Seen) -> None:
    if seen.silent:
        examined.fail(
            "queues",
            f"no answer from {', '.join(seen.silent)}: a quorum queue without a leader"
            + ("; the others were not asked" if len(seen.silent) == MOST_SILENT else ""),
            "bring the missing RabbitMQ nodes back; `rabbitmq-queues quorum_status QUEUE` names "
            "them",
        )
    later = _made_later(seen.missing) if seen.missing else ""
    examined.ok("queues", f"{seen.as_declared} as declared{later}; {seen.waiting} messages wait")
    if seen.left:
        examined.warn(
            "consumers",
            f"nobody takes what waits: {', '.join(seen.left)}",
            "start a worker that serves these models, or for the queues `.in.` an api",
        )
    else:
        examined.ok("consumers", f"{seen.consumers} on these queues")


def _made_later(count: int) -> str:
    return f", {count} not there yet (the first use declares them)"


async def _passive_exchange(exchange: ExchangeSpec, channel: AbstractChannel) -> None:
    await channel.exchange_declare(exchange.name, passive=True, timeout=QUESTION_S)


async def _same_exchange(exchange: ExchangeSpec, channel: AbstractChannel) -> None:
    await channel.exchange_declare(
        exchange.name,
        exchange_type=exchange.kind,
        durable=True,
        arguments=dict(exchange.arguments),
        timeout=QUESTION_S,
    )


async def _passive_queue(queue: QueueSpec, channel: AbstractChannel) -> tuple[int, int]:
    found = await channel.queue_declare(queue.name, passive=True, timeout=QUESTION_S)
    return found.message_count or 0, found.consumer_count or 0


async def _take_nothing(queue: QueueSpec, channel: AbstractChannel) -> None:
    """Ask the leader of a queue that looks empty for a message; one that came now goes back."""
    found = await channel.basic_get(queue.name, timeout=QUESTION_S)
    if found.delivery_tag is not None:
        await channel.basic_nack(found.delivery_tag, requeue=True)


async def _same_queue(queue: QueueSpec, channel: AbstractChannel) -> None:
    await channel.queue_declare(
        queue.name, durable=True, arguments=dict(queue.arguments), timeout=QUESTION_S
    )
