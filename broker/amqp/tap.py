"""A tap on aiormq's connection: the frames that every message costs go past it.

aiormq decodes each frame into objects, by several tasks; that is most of a message's CPU. Here the
hot frames of claimed channels are taken from the socket's bytes, and all others go on to aiormq.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

import pamqp.frame
from pamqp.commands import Channel

from broker.amqp import frames
from broker.amqp.hot_channel import HotChannel
from broker.amqp.wire import Wire

# aiormq holds a connection for dead when it reads nothing, and RabbitMQ sends no heartbeat while
# there is other traffic.
_SIGN_OF_LIFE_S = 0.5
_CONNECTION_ENDS = (frames.CONNECTION_CLOSE, frames.CONNECTION_CLOSE_OK)
_CHANNEL_ENDS = (frames.CHANNEL_CLOSE, frames.CHANNEL_CLOSE_OK)


class Tap(asyncio.StreamReaderProtocol):
    """The protocol between the socket and the stream that aiormq reads."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.wire = Wire()
        self._channels: dict[int, HotChannel] = {}
        self._rest = b""
        self._raw = False
        self._over = ""
        self._signed_at = 0.0

    def claim(self, number: int, frame_max: int) -> HotChannel:
        """Take the hot frames of this channel: one just opened, which aiormq sends nothing on."""
        channel = self._channels[number] = HotChannel(number, self.wire, frame_max)
        if self._over:
            channel.shut(self._over)
        return channel

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to write."""
        super().connection_made(transport)
        # uvloop's is one without being derived from it.
        self.wire.attach(cast("asyncio.WriteTransport", transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """End all channels."""
        self._shut_all("the connection was lost")
        self.wire.resume()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Hold back both aiormq's writes and ours."""
        super().pause_writing()
        self.wire.pause()

    def resume_writing(self) -> None:
        """Let both go on."""
        super().resume_writing()
        self.wire.resume()

    def data_received(self, data: bytes) -> None:
        """Take the hot frames and pass on the others, whole and in order."""
        if not self._raw:
            data = self._rest + data if self._rest else data
            data = self._passed_on(data)
        if data:
            super().data_received(data)

    def outgoing(self, data: bytes) -> None:
        """See what aiormq is about to write: nothing of ours may follow a close."""
        self.wire.flush()
        if data[0] != frames.METHOD or len(data) < frames.HEAD_BYTES + frames.METHOD_NUMBER.size:
            return
        _, number, _ = frames.HEAD.unpack_from(data)
        (method,) = frames.METHOD_NUMBER.unpack_from(data, frames.HEAD_BYTES)
        if method in _CONNECTION_ENDS:
            self._shut_all("the connection was closed")
        elif method in _CHANNEL_ENDS and (channel := self._channels.get(number)):
            channel.shut("closed by us")

    def _passed_on(self, data: bytes) -> bytes:
        """Return the bytes that are aiormq's; keep the beginning of a frame for later."""
        others: list[bytes] = []
        begin = position = 0
        try:
            for kind, number, start, end in frames.split(data):
                channel = self._channels.get(number)
                if channel is not None and self._take(channel, kind, data, start, end):
                    if begin < position:
                        others.append(data[begin:position])
                    begin = end + 1
                position = end + 1
        except ValueError:
            # Not frames (a server that refuses the version says so in plain text): aiormq knows
            # what to make of it.
            self._raw = True
            position = len(data)
        if begin:
            self._sign_of_life(others)
        others.append(data[begin:position])
        self._rest = data[position:]
        return b"".join(others)

    def _take(self, channel: HotChannel, kind: int, data: bytes, start: int, end: int) -> bool:
        if channel.take(kind, data, start, end):
            return True
        _, _, frame = pamqp.frame.unmarshal(data[start - frames.HEAD_BYTES : end + 1])
        if isinstance(frame, Channel.Close):
            # Before aiormq sees it, and answers: after that nothing may be sent.
            channel.shut(f"{frame.reply_code} {frame.reply_text}", frame.reply_code or 0)
        if isinstance(frame, Channel.Close | Channel.CloseOk):
            del self._channels[channel.number]
        return False

    def _sign_of_life(self, others: list[bytes]) -> None:
        now = time.monotonic()
        if now - self._signed_at > _SIGN_OF_LIFE_S:
            self._signed_at = now
            others.append(frames.HEARTBEAT)

    def _shut_all(self, reason: str) -> None:
        self._over = self._over or reason
        for channel in self._channels.values():
            channel.shut(reason)
