"""Consumes `<namespace>.dead`: what RabbitMQ set aside by itself, and foreign messages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog

from broker.amqp import properties
from broker.amqp.counters import Counters
from broker.amqp.subscription import Incoming
from broker.lifecycle import Tasks, backoff
from broker.ports import DeadLetter
from schemas.codec import BadEnvelope, decode

PREFETCH = 8
_log = structlog.get_logger("penstock.amqp")


class DeadLetterReader:
    """Hands letters to `receive` in tasks of its own and acks each when that returns."""

    def __init__(
        self, receive: Callable[[DeadLetter], object], tasks: Tasks, counters: Counters
    ) -> None:
        self._receive = cast("Callable[[DeadLetter], Awaitable[object]]", receive)
        self._tasks = tasks
        self._counters = counters

    def __call__(self, incoming: Incoming) -> None:
        """Begin with one letter."""
        self._counters.dead_letters += 1
        self._tasks.spawn("dead letter", self._file(incoming))

    async def _file(self, incoming: Incoming) -> None:
        """Try until it is filed: giving it back would count towards its delivery limit."""
        letter = read(incoming.body, _headers(incoming.header))
        for pause in backoff(first_s=1.0, most_s=30.0):
            if not incoming.receipt.live:
                return
            try:
                await self._receive(letter)
            except Exception:  # noqa: BLE001  because a letter is kept whatever goes wrong
                _log.exception("dead_letter_not_filed", reason=letter.reason)
                await asyncio.sleep(pause)
            else:
                incoming.receipt.ack()
                return


def read(body: bytes, headers: dict[str, Any]) -> DeadLetter:
    """Return the letter; its reason is that of the last death, which is the one that led here."""
    deaths = headers.get("x-death")
    reason = "sent to the dead-letter exchange"
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        last = deaths[0]
        reason = f"{last.get('reason', 'unknown')} from {last.get('queue', 'an unknown queue')}"
    try:
        return DeadLetter(decode(body), reason, body)
    except BadEnvelope:
        return DeadLetter(None, reason, body)


def _headers(header: bytes) -> dict[str, Any]:
    try:
        return properties.read(header).headers or {}
    except properties.BadProperties:
        # A letter whose headers cannot be read is kept all the same.
        return {}
