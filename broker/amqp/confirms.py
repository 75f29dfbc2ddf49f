"""What is published and not confirmed yet on one channel, and what RabbitMQ answers."""

from __future__ import annotations

import asyncio
from enum import Enum, auto


class Outcome(Enum):
    """What became of one publish."""

    CONFIRMED = auto()
    RETURNED = auto()
    """No queue took it."""
    NACKED = auto()
    NO_EXCHANGE = auto()
    """The channel was closed because an exchange is missing: this one's, or that of another."""
    LOST = auto()
    """The channel is gone without an answer: unknown."""


class Sent:
    """One publish on its way. Its outcome comes once; whoever waits may go, and another come."""

    __slots__ = ("_waiter", "outcome")

    def __init__(self) -> None:
        self.outcome: Outcome | None = None
        self._waiter: asyncio.Future[None] | None = None

    def settle(self, outcome: Outcome) -> None:
        """Note the outcome, unless there is one."""
        if self.outcome is None:
            self.outcome = outcome
            self._wake()

    async def within(self, until: float) -> Outcome | None:
        """Return the outcome, or None if there is none at `until` (the loop's time)."""
        if self.outcome is None:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            alarm = loop.call_at(until, self._wake)
            try:
                await self._waiter
            finally:
                alarm.cancel()
        return self.outcome

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Confirms:
    """Matches answers to publishes by their number on the channel, which begins at 1.

    A publish that nobody waits for any more keeps its number until it is answered.
    """

    def __init__(self) -> None:
        self._last = 0
        self._lowest = 1
        self._open: dict[int, Sent] = {}

    @property
    def next_number(self) -> int:
        """The number that the next publish gets."""
        return self._last + 1

    def add(self) -> Sent:
        """Note one more publish."""
        self._last += 1
        sent = self._open[self._last] = Sent()
        return sent

    def answer(self, tag: int, multiple: bool, outcome: Outcome) -> None:
        """Take an ack or nack; a multiple one is for all up to `tag`, or for all if that is 0."""
        last = self._last if multiple and not tag else min(tag, self._last)
        first = self._lowest if multiple else tag
        # Each number is passed about once in the channel's life, however many acks there are.
        for number in range(first, last + 1):
            self._settle(number, outcome)
        if first <= self._lowest <= last:
            self._lowest = last + 1

    def returned(self, number: int) -> None:
        """Take a return; the ack that follows it changes nothing any more."""
        if (sent := self._open.get(number)) is not None:
            sent.settle(Outcome.RETURNED)

    def end(self, outcome: Outcome) -> None:
        """Give the same outcome to all that are open: no answer can come."""
        for sent in self._open.values():
            sent.settle(outcome)
        self._open.clear()

    def _settle(self, number: int, outcome: Outcome) -> None:
        if (sent := self._open.pop(number, None)) is not None:
            sent.settle(outcome)
