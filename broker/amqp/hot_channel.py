"""A channel whose messages pass aiormq by: published and confirmed, delivered and settled."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import structlog

from broker.amqp import frames
from broker.amqp.confirms import Confirms, Outcome, Sent
from broker.amqp.wire import Wire

# Tag, redelivered, the deliver's payload, content header, body.
Deliver = Callable[[int, bool, bytes, bytes, bytes], None]
Verdict = Callable[[int, int], bytes]
_NO_EXCHANGE = 404
_log = structlog.get_logger("penstock.amqp")


class HotChannel:
    """The hot frames of one channel, until it is closed by either side.

    `deliver` must not raise: that would cost the connection. Opening, consuming, cancelling and
    closing remain aiormq's: set `deliver` before it consumes.
    """

    def __init__(self, number: int, wire: Wire, frame_max: int) -> None:
        self.number = number
        self.wire = wire
        self.closed = False
        self.reason = ""
        self.deliver: Deliver | None = None
        self.on_closed: Callable[[str], None] | None = None
        self._frame_max = frame_max
        self._confirms = Confirms()
        self._name = uuid4().hex
        # The message that comes in now: a delivery, or None for a return.
        self._delivery: tuple[int, bool, bytes] | None = None
        self._header = b""
        self._pieces: list[bytes] = []
        self._missing = 0

    def publish(self, exchange: str, routing_key: str, request_id: str, body: bytes) -> Sent:
        """Send one mandatory, persistent message. The channel must be open.

        Raises ValueError for a name that is too long.
        """
        properties = frames.properties("application/msgpack", request_id, self.next_message_id)
        return self.send(frames.route(exchange, routing_key), properties, body)

    @property
    def next_message_id(self) -> str:
        """The id of the next message; a return says which one it is by this alone."""
        return f"{self._name}-{self._confirms.next_number}"

    def send(self, way: bytes, properties: bytes, body: bytes) -> Sent:
        """Send one message with the next message id in its properties. The channel must be open."""
        self.wire.write(frames.publish(self.number, way, properties, body, self._frame_max))
        return self._confirms.add()

    def settle(self, verdict: Verdict, tag: int) -> None:
        """Send one verdict on a delivery: `frames.ack`, `requeue` or `reject`.

        On a closed channel it is dropped: one frame there would cost the whole connection.
        """
        if not self.closed:
            self.wire.write(verdict(self.number, tag))

    def take(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Take an incoming frame, if it is a hot one; its payload is `data[start:end]`."""
        if kind == frames.BODY:
            self._take_body(data[start:end])
            return True
        if kind == frames.HEADER:
            self._take_header(data[start:end])
            return True
        method = frames.METHOD_NUMBER.unpack_from(data, start)[0] if kind == frames.METHOD else 0
        if method == frames.DELIVER:
            self._delivery = (*frames.delivery(data, start), data[start:end])
        elif method == frames.ACK:
            self._confirms.answer(*frames.confirm(data, start), Outcome.CONFIRMED)
        elif method == frames.NACK:
            self._confirms.answer(*frames.confirm(data, start), Outcome.NACKED)
        elif method == frames.RETURN:
            self._delivery = None
        else:
            return False
        return True

    def shut(self, reason: str, code: int = 0) -> None:
        """Send nothing from now on; what is unanswered ends. `code` is RabbitMQ's, if it closed."""
        if self.closed:
            return
        self.closed = True
        self.reason = reason
        self._confirms.end(Outcome.NO_EXCHANGE if code == _NO_EXCHANGE else Outcome.LOST)
        if self.on_closed is not None:
            self.on_closed(reason)

    def _take_header(self, header: bytes) -> None:
        self._header = header
        self._missing = frames.body_size(header)
        if not self._missing:
            self._complete(b"")

    def _take_body(self, piece: bytes) -> None:
        self._missing -= len(piece)
        if self._missing > 0:
            self._pieces.append(piece)
        elif self._pieces:
            self._pieces.append(piece)
            body = b"".join(self._pieces)
            self._pieces = []
            self._complete(body)
        else:
            self._complete(piece)

    def _complete(self, body: bytes) -> None:
        if self.closed:
            return
        if self._delivery is None:
            self._take_return()
        elif self.deliver is not None:
            self.deliver(*self._delivery, self._header, body)

    def _take_return(self) -> None:
        message_id = frames.read_properties(self._header).message_id or ""
        name, _, number = message_id.partition("-")
        if name == self._name:
            self._confirms.returned(int(number))
        else:
            _log.error("amqp_unknown_return", message_id=message_id)
