"""Asks Penstock over AMQP as a program that blocks does: with pika, by direct reply-to."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pika

Told = dict[str, Any]
HELLO = {"body": {"messages": [{"role": "user", "content": "hello"}]}}
_DIRECT = "amq.rabbitmq.reply-to"
_LIMIT_S = 60


class Asker:
    """Publishes for `user` to `exchange`; a reply is told as asks.mjs tells it."""

    def __init__(self, connection: pika.BlockingConnection, exchange: str, user: str) -> None:
        self._connection = connection
        self._exchange = exchange
        self._user = user
        self._replies: list[Told] = []
        self._channel = connection.channel()
        self._channel.confirm_delivery()
        self._channel.basic_consume(_DIRECT, self._take, auto_ack=True)

    def ask(self, key: str, body: object, wanted: Callable[[str], bool], **more: Any) -> Told:
        """Publish a message and return its first reply of a wanted type."""
        return self.told(self.publish(key, body, **more), wanted)

    def publish(self, key: str, body: object, **more: Any) -> str:
        """Publish a message and return its correlation id."""
        sent = str(uuid.uuid4())
        properties = pika.BasicProperties(
            content_type="application/json",
            correlation_id=sent,
            delivery_mode=2,
            reply_to=_DIRECT,
            user_id=self._user,
            **more,
        )
        content = json.dumps(body).encode()
        self._channel.basic_publish(self._exchange, key, content, properties, mandatory=True)
        return sent

    def told(self, sent: str, wanted: Callable[[str], bool]) -> Told:
        """Return the first reply of a wanted type to what was sent."""
        until = time.monotonic() + _LIMIT_S
        while time.monotonic() < until:
            self._connection.process_data_events(time_limit=1)
            for told in self._replies:
                if told["correlationId"] == sent and wanted(told["type"]):
                    return {"sent": sent, **told}
        raise AssertionError(f"no reply: {self._replies}")

    def _take(self, _channel: object, _method: object, properties: Any, body: bytes) -> None:
        self._replies.append(
            {
                "correlationId": properties.correlation_id,
                "type": properties.type,
                "headers": properties.headers,
                "body": json.loads(body),
            }
        )


def asks(url: str, exchange: str, user: str) -> dict[str, Told]:
    """Return what a request, a wrong one, a slow one and its cancel are told."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        asker = Asker(connection, exchange, user)
        progress = {"x-penstock-progress": True}
        completed = asker.ask("echo.high", HELLO, _is_last)
        refused = asker.ask("no-such-model.normal", HELLO, _is_last)
        accepted = asker.ask("slow-60000.low", HELLO, _is_accepted, headers=progress)
        named = {"id": accepted["body"]["id"]}
        cancelled = asker.ask("slow-60000.low", named, _is_last, type="request.cancel")
        ended = asker.told(accepted["sent"], _is_last)
    return {
        "completed": completed,
        "refused": refused,
        "accepted": accepted,
        "cancelled": cancelled,
        "ended": ended,
    }


def _is_accepted(kind: str) -> bool:
    return kind == "request.accepted"


def _is_last(kind: str) -> bool:
    return kind not in ("request.accepted", "request.progress")
