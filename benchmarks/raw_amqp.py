"""AMQP 0-9-1 by a bare asyncio protocol: publish with confirms, deliver, ack, and no safety.

It shows what RabbitMQ costs a Python process at least. One channel, no heartbeat, no reconnect, no
returns, bodies of one frame: nothing that a product could stand on.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from pamqp import commands, frame
from pamqp.base import Frame
from pamqp.common import FieldTable

_HEAD = struct.Struct(">BHI")
_METHOD_ID = struct.Struct(">HH")
_TAG = struct.Struct(">QB")
_END = b"\xce"
_METHOD, _HEADER, _BODY = 1, 2, 3
_ACK, _DELIVER = (60, 80), (60, 60)
# Content header: class 60, weight 0, body size, the flags of delivery_mode and message_id, mode 2.
_CONTENT = struct.Struct(">HHQHB")
_FLAGS = 0x1000 | 0x0080
_PERSISTENT = 2

Deliver = Callable[[int, str, bytes], None]


class RawAmqp(asyncio.Protocol):
    """A connection with one channel on one durable quorum queue."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._pending = b""
        self._replies: asyncio.Queue[Frame] = asyncio.Queue()
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._sent, self._confirmed = 0, 0
        self._deliver: Deliver | None = None
        self._delivery_tag = 0
        self._message_id = ""
        self._publish_frame = b""

    @classmethod
    async def open(cls, url: str, queue: str) -> RawAmqp:
        """Connect, open the channel in confirm mode and declare the queue."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        host, port = parts.hostname or "127.0.0.1", parts.port or 5672
        _, connection = await loop.create_connection(cls, host, port)
        vhost = (parts.path[1:] or "/").replace("%2F", "/")
        await connection.greet(f"\0{parts.username}\0{parts.password}", vhost)
        await connection.declare(queue)
        return connection

    async def greet(self, login: str, vhost: str) -> None:
        """Log in and open the channel in confirm mode."""
        self._write(b"AMQP\x00\x00\x09\x01")
        await self._replies.get()
        await self._ask(commands.Connection.StartOk({}, response=login), channel=0)
        tuned = commands.Connection.TuneOk(channel_max=1, frame_max=131_072, heartbeat=0)
        self._write(frame.marshal(tuned, 0))
        await self._ask(commands.Connection.Open(virtual_host=vhost), channel=0)
        await self._ask(commands.Channel.Open())
        await self._ask(commands.Confirm.Select())

    async def declare(self, queue: str) -> None:
        """Declare the queue that `publish` publishes to."""
        arguments: FieldTable = {"x-queue-type": "quorum"}
        await self._ask(commands.Queue.Declare(0, queue, durable=True, arguments=arguments))
        publish = commands.Basic.Publish(exchange="", routing_key=queue)
        self._publish_frame = frame.marshal(publish, 1)

    async def consume(self, queue: str, prefetch: int, deliver: Deliver) -> None:
        """Have `deliver(tag, message id, body)` called for each message."""
        self._deliver = deliver
        await self._ask(commands.Basic.Qos(prefetch_count=prefetch))
        await self._ask(commands.Basic.Consume(0, queue, "floor"))

    def publish(self, message_id: str, body: bytes) -> asyncio.Future[None]:
        """Send a persistent message; the future is done with RabbitMQ's confirm."""
        name = message_id.encode()
        header = _CONTENT.pack(60, 0, len(body), _FLAGS, _PERSISTENT) + bytes([len(name)]) + name
        content = _frame(_HEADER, header) + _frame(_BODY, body)
        self._write(self._publish_frame + content)
        self._sent += 1
        confirmed = self._unconfirmed[self._sent] = asyncio.get_running_loop().create_future()
        return confirmed

    def ack(self, tag: int) -> None:
        """Ack one delivery."""
        self._write(_frame(_METHOD, _METHOD_ID.pack(*_ACK) + _TAG.pack(tag, 0)))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's own class, which is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        pending = self._pending + data
        at, end = 0, len(pending)
        while end - at >= _HEAD.size:
            kind, channel, size = _HEAD.unpack_from(pending, at)
            start = at + _HEAD.size
            at_next = start + size + len(_END)
            if at_next > end:
                break
            self._take(kind, channel, pending[start : start + size])
            at = at_next
        self._pending = pending[at:]

    def _take(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == _BODY:
            assert self._deliver is not None
            self._deliver(self._delivery_tag, self._message_id, payload)
        elif kind == _HEADER:
            length = payload[_CONTENT.size]
            self._message_id = payload[_CONTENT.size + 1 : _CONTENT.size + 1 + length].decode()
        elif kind == _METHOD:
            self._method(_METHOD_ID.unpack_from(payload), channel, payload)

    def _method(self, method: tuple[int, ...], channel: int, payload: bytes) -> None:
        if method == _DELIVER:
            after_consumer = 5 + payload[4]
            self._delivery_tag = _TAG.unpack_from(payload, after_consumer)[0]
        elif method == _ACK:
            self._confirm(*_TAG.unpack_from(payload, 4))
        else:
            whole = _HEAD.pack(_METHOD, channel, len(payload)) + payload + _END
            self._replies.put_nowait(cast(Frame, frame.unmarshal(whole)[2]))

    def _confirm(self, tag: int, multiple: int) -> None:
        first = self._confirmed + 1 if multiple else tag
        for number in range(first, tag + 1):
            waiting = self._unconfirmed.pop(number, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)
        if multiple:
            self._confirmed = tag

    async def _ask(self, request: Frame, channel: int = 1) -> Frame:
        self._write(frame.marshal(request, channel))
        return await self._replies.get()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


def _frame(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(kind, 1, len(payload)) + payload + _END
