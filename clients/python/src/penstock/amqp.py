"""Asking over RabbitMQ and waiting for the reply (`penstock[amqp]`).

The user in the URL is the tenant; while no key is configured at the server, the tenant is
`default` whoever asks.

>>> import asyncio, penstock.amqp
>>> async def main():
...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
...         print((await asker.request(body)).text)
>>> asyncio.run(main())
echo ...
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Unpack
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelNotFoundEntity

from penstock.asking import (
    Question,
    Tell,
    cancellation,
    is_on_the_way,
    patience_s,
    question,
    request_of,
)
from penstock.calls import completed
from penstock.errors import PenstockError, Refused, Unreachable
from penstock.shapes import Options, Request, Result

_CONNECT_S = 10.0
_HEARTBEAT_S = 5
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_CANCEL_S = 30.0
_JSON = "application/json"
# RabbitMQ's own user, which is no tenant's.
_GUEST = "guest"


@asynccontextmanager
async def connect(
    url: str, *, namespace: str = "penstock", tenant: str | None = None
) -> AsyncIterator[Asker]:
    """Connect to the RabbitMQ at `url`; a lost connection is made again. Raises Unreachable.

    `namespace` is the server's `server.namespace`. `tenant` is the user in the URL, or `default`
    for RabbitMQ's guest.

    >>> import asyncio, penstock.amqp
    >>> async def main():
    ...     url = "amqp://acme:password@rabbitmq:5672/"
    ...     async with penstock.amqp.connect(url) as asker:
    ...         print(type(asker).__name__)
    >>> asyncio.run(main())
    Asker
    """
    user = unquote(urlsplit(url).username or _GUEST)
    asker = Asker(url, namespace, user, tenant or ("default" if user == _GUEST else user))
    keeping = asyncio.create_task(asker.keep_connected())
    try:
        await asker.connected(_CONNECT_S)
        yield asker
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


@dataclass(slots=True, eq=False)
class _Open:
    """A question that waits for its reply."""

    question: Question
    reply: asyncio.Future[Request]
    tell: Tell | None = None
    # The channel on which it was last published.
    sent: AbstractChannel | None = field(default=None, repr=False)


class Asker:
    """A connection over which any number of tasks ask at once; `connect` makes one.

    >>> import asyncio, penstock.amqp
    >>> async def main():
    ...     bodies = [{"model": "llama3.2", "messages": [{"role": "user", "content": name}]}
    ...               for name in ("apple", "pear")]
    ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
    ...         results = await asyncio.gather(*(asker.request(body) for body in bodies))
    ...     print(len({result.text for result in results}))
    >>> asyncio.run(main())
    2
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

    async def request(
        self, body: Mapping[str, Any], *, progress: Tell | None = None, **options: Unpack[Options]
    ) -> Result:
        """Hand in a request and return its result. Raises Refused, RequestFailed, Unreachable.

        `body` is the backend's own JSON. `progress` is called with the request once it is durable,
        and as it moves. An answer above 1 MiB does not come this way: the result's body is None,
        and `Client.result` reads it. To cancel the task does not cancel the request.

        >>> import asyncio, penstock.amqp
        >>> async def main():
        ...     body = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}
        ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
        ...         result = await asker.request(body, priority="high", timeout_s=60)
        ...         print(result.request.priority)
        >>> asyncio.run(main())
        high
        """
        asked = question(body, options, wants_progress=progress is not None)
        request = completed(await self._ask(asked, progress, patience_s(options)))
        return Result(request, request.response.body if request.response else None)

    async def cancel(self, request: Request) -> Request:
        """Cancel a request, wherever it is, and return it; one that has ended stays as it is.

        >>> import asyncio, penstock, penstock.amqp
        >>> async def main():
        ...     async with penstock.AsyncClient() as client:
        ...         request = await client.submit({"model": "slow", "messages": []})
        ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
        ...         print((await asker.cancel(request)).status)
        >>> asyncio.run(main())
        cancelled
        """
        return await self._ask(cancellation(request), None, _CANCEL_S)

    async def connected(self, timeout_s: float) -> None:
        """Return once the connection stands. Raises Unreachable.

        >>> import asyncio, penstock.amqp
        >>> async def main():
        ...     async with penstock.amqp.connect("amqp://acme:password@rabbitmq:5672/") as asker:
        ...         await asker.connected(timeout_s=5)
        >>> asyncio.run(main())
        """
        try:
            await asyncio.wait_for(self._ready.wait(), timeout_s)
        except TimeoutError:
            raise Unreachable(self._trouble) from None

    async def _ask(self, asked: Question, tell: Tell | None, timeout_s: float) -> Request:
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
        with suppress(AMQPError, OSError, asyncio.CancelledError):
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
        await exchange.publish(message, asked.routing_key)

    async def keep_connected(self) -> None:
        """Hold the connection until cancelled; `connect` runs it."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                connection = await aio_pika.connect(
                    self._url, timeout=_CONNECT_S, heartbeat=_HEARTBEAT_S
                )
                async with connection:
                    closed = await self._begin(await connection.channel())
                    pause_s = _FIRST_PAUSE_S
                    await closed.wait()
            except (AMQPError, OSError, TimeoutError) as error:
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
