"""Sends replies: confirmed, on a channel of their own; a client's queue holds up nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog
from aiormq.abc import AbstractChannel

from broker.amqp import frames
from broker.amqp.confirms import Outcome, Sent
from broker.amqp.connection import Link
from broker.amqp.hot_channel import HotChannel
from broker.amqp.publisher import MAX_MESSAGE_BYTES
from broker.amqp.session import Session, close_channel
from broker.lifecycle import Tasks
from broker.ports import Reply
from broker.telemetry import REPLIES
from schemas.errors import QueueUnavailable

REPLY_LIMIT_S = 5.0
# RabbitMQ up to 4.0 returns a mandatory one although its client has got it.
DIRECT = "amq.rabbitmq.reply-to."
_log = structlog.get_logger("penstock.amqp")


@dataclass(slots=True, eq=False)
class _Open:
    session: Session
    channel: AbstractChannel
    hot: HotChannel
    retired: bool = False

    @property
    def usable(self) -> bool:
        return not (self.retired or self.hot.closed or self.session.lost.done())


class AmqpReplies:
    """Fills `broker.ports.Replies` through the default exchange."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._tasks = Tasks("amqp replies")
        self._opened: _Open | None = None
        self._opening = asyncio.Lock()

    async def send(self, reply: Reply) -> bool:
        """Send one reply; see the port.

        False too where the client's queue refuses it, or RabbitMQ confirms nothing although it is
        well: that queue must not hold up others. Raises QueueUnavailable when RabbitMQ is away.
        """
        if len(reply.body) > MAX_MESSAGE_BYTES:
            return self._note(reply, "too_large")
        until = asyncio.get_running_loop().time() + REPLY_LIMIT_S
        opened = self._opened
        if opened is None or not opened.usable or opened.hot.wire.crowded:
            opened = await self._when_possible(until)
        try:
            sent = _publish(opened.hot, reply)
        except ValueError:
            return self._note(reply, "impossible_name")
        return self._note(reply, await self._outcome(opened, sent, until))

    async def stop(self) -> None:
        """End; the connection is closed by its owner."""
        await self._tasks.stop()

    async def _when_possible(self, until: float) -> _Open:
        try:
            async with asyncio.timeout_at(until):
                while True:
                    opened = await self._open()
                    await opened.hot.wire.room()
                    if opened.usable:
                        return opened
        except TimeoutError as error:
            reason = self._link.trouble or "it takes nothing"
            raise QueueUnavailable(f"no reply can be sent: {reason}") from error

    async def _open(self) -> _Open:
        async with self._opening:
            if self._opened is None or not self._opened.usable:
                session = await self._link.session()
                self._opened = _Open(session, *await session.open_hot(confirms=True))
            return self._opened

    async def _outcome(self, opened: _Open, sent: Sent, until: float) -> str:
        match await sent.within(until):
            case Outcome.CONFIRMED:
                return "sent"
            case Outcome.RETURNED:
                return "requester_gone"
            case Outcome.NACKED:
                return "refused_by_queue"
            case None if not await opened.session.blocked() and not opened.hot.closed:
                # It may be the channel that never confirms again, or the client's queue alone.
                opened.retired = True
                self._tasks.spawn("close a retired channel", close_channel(opened.channel))
                return "unconfirmed"
        raise QueueUnavailable(f"a reply was not confirmed: {opened.hot.reason or 'blocked'}")

    def _note(self, reply: Reply, outcome: str) -> bool:
        REPLIES.labels(outcome).inc()
        if outcome != "sent":
            _log.info("reply_not_taken", kind=reply.kind, outcome=outcome)
        return outcome == "sent"


def _publish(hot: HotChannel, reply: Reply) -> Sent:
    way = frames.route("", reply.to, mandatory=not reply.to.startswith(DIRECT))
    properties = frames.reply_properties(
        reply.content_type, reply.headers, reply.correlation_id, hot.next_message_id, reply.kind
    )
    return hot.send(way, properties, reply.body)
