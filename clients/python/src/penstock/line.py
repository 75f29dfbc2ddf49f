"""One connection to RabbitMQ: questions go out, their replies come in, whatever breaks between."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import (
    AMQPError,
    ChannelClosed,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    PublishError,
)

from penstock.asking import Question, Tell, is_on_the_way, request_of
from penstock.errors import PenstockError, Refused, Unreachable
from penstock.shapes import Request

_CONNECT_S = 10.0
_HEARTBEAT_S = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_JSON = "application/json"
_LOST = (AMQPError, ChannelInvalidStateError, OSError, TimeoutError)


@dataclass(slots=True, eq=False)
class _Open:
    """A question that waits for its reply."""

    question: Question
    reply: asyncio.Future[Request]
    tell: Tell | None = None
    # The channel on which it was last published.
    sent: AbstractChannel | None = field(default=None, repr=False)


class Line:
    """Questions that wait for their replies; lost with a connection, they are asked again.

    A question that is asked again is still one request, by its message_id.
    """

    def __init__(self, url: str, namespace: str, user: str, tenant: str) -> None:
        self._url = url
        self._intake = f"{namespace}.intake"
        self._user = user
        # The same after a lost connection, so that replies which are still to come arrive.
        self._address = f"reply.{tenant}.{secrets.token_hex(8)}"
        self._open: dict[str, _Open] = {}
        self._channel: AbstractChannel | None = None
        self._exchange: AbstractExchange | None = None
        self._ready = asyncio.Event()
        self._trouble = "RabbitMQ does not answer"

    async def connected(self) -> None:
        """Return once the connection stands. Raises Unreachable."""
        try:
            await asyncio.wait_for(self._ready.wait(), _CONNECT_S)
        except TimeoutError:
            raise Unreachable(self._trouble) from None

    async def ask(self, asked: Question, tell: Tell | None, timeout_s: float) -> Request:
        """Return the request in the last reply. Raises Refused, Unreachable."""
        waiting = _Open(asked, asyncio.get_running_loop().create_future(), tell)
        self._open[asked.message_id] = waiting
        try:
            async with asyncio.timeout(timeout_s):
                if self._exchange is not None:
                    await self._send(self._exchange, waiting)
                return await waiting.reply
        except TimeoutError:
            raise Unreachable(f"no reply after {timeout_s:g} s; {self._trouble}") from None
        finally:
            del self._open[asked.message_id]

    async def _send(self, exchange: AbstractExchange, waiting: _Open) -> None:
        """Publish a question; where that fails it is published again on the next connection."""
        with suppress(*_LOST, asyncio.CancelledError):
            waiting.sent = self._channel
            await self._publish(exchange, waiting.question)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError

    async def _publish(self, exchange: AbstractExchange, asked: Question) -> None:
        message = aio_pika.Message(
            asked.body,
            content_type=_JSON,
            message_id=asked.message_id,
            correlation_id=asked.message_id,
            reply_to=self._address,
            user_id=self._user,
            type=asked.kind,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            headers={"x-penstock-progress": True} if asked.wants_progress else {},
        )
        while True:
            try:
                await exchange.publish(message, asked.routing_key)
            except PublishError:
                # A Penstock that has just begun has not bound its queues yet.
                await asyncio.sleep(_FIRST_PAUSE_S)
            else:
                return

    async def keep_connected(self) -> None:
        """Hold the connection until cancelled; `connect` runs it."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await aio_pika.connect(
                    self._url, timeout=_CONNECT_S, heartbeat=_HEARTBEAT_S
                )
                async with connection:
                    closed = await self._begin(await connection.channel(on_return_raises=True))
                    pause_s = _FIRST_PAUSE_S
                    await closed.wait()
            except _LOST as error:
                self._trouble = f"RabbitMQ cannot be used: {str(error) or type(error).__name__}"
            finally:
                self._exchange = None
                self._ready.clear()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def _begin(self, channel: AbstractChannel) -> asyncio.Event:
        """Listen for replies and publish what is still open; return what tells of the end."""
        closed = asyncio.Event()
        channel.close_callbacks.add(lambda *_: closed.set())
        queue = await channel.declare_queue(self._address, exclusive=True, auto_delete=True)
        await queue.consume(self._take, no_ack=True)
        exchange = await channel.get_exchange(self._intake, ensure=False)
        while unsent := [each for each in self._open.values() if each.sent is not channel]:
            await self._send_again(exchange, channel, unsent[0])
        self._channel, self._exchange = channel, exchange
        self._trouble = "the connection stands"
        self._ready.set()
        return closed

    async def _send_again(
        self, exchange: AbstractExchange, channel: AbstractChannel, waiting: _Open
    ) -> None:
        """Publish one question alone, so that one which RabbitMQ refuses is known to be that."""
        waiting.sent = channel
        try:
            await self._publish(exchange, waiting.question)
        except ChannelNotFoundEntity:
            self._fail(waiting, Unreachable(f"no Penstock has made the exchange {self._intake}"))
            raise
        except ChannelClosed as error:
            self._fail(waiting, Refused(403, f"RabbitMQ refuses: {error}", code="access_refused"))
            raise

    def _fail(self, waiting: _Open, error: PenstockError) -> None:
        if not waiting.reply.done():
            waiting.reply.set_exception(error)

    async def _take(self, message: AbstractIncomingMessage) -> None:
        waiting = self._open.get(message.correlation_id or "")
        if waiting is None or waiting.reply.done():
            return
        try:
            request = request_of(message.body, message.headers.get("x-penstock-status-code"))
        except Refused as refused:
            self._fail(waiting, refused)
        except (ValueError, KeyError, TypeError) as error:
            self._fail(waiting, Unreachable(f"what replies is no Penstock: {error}"))
        else:
            if not is_on_the_way(message.type):
                waiting.reply.set_result(request)
            elif waiting.tell is not None:
                waiting.tell(request)
