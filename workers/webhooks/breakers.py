"""The breakers of all receivers, as this process has met them."""

from __future__ import annotations

from workers.webhooks.bounds import Receiver
from workers.webhooks.breaker import Breaker
from workers.webhooks.sender import Answer


class Breakers:
    """One for each receiver that has failed; a receiver without one is well."""

    def __init__(self) -> None:
        self._all: dict[Receiver, Breaker] = {}

    def wait_until(self, receiver: Receiver, now: float) -> float | None:
        """Return until when (Unix seconds) a receiver is left alone; None if it is not."""
        breaker = self._all.get(receiver)
        return None if breaker is None else breaker.wait_until(now)

    def began(self, receiver: Receiver, now: float) -> None:
        """An attempt begins."""
        if (breaker := self._all.get(receiver)) is not None:
            breaker.began(now)

    def ended(
        self, receiver: Receiver, answer: Answer, began_at: float, now: float
    ) -> float | None:
        """Take note of an attempt, and return until when the receiver is left alone from now on."""
        if answer.delivered:
            self._all.pop(receiver, None)
            return None
        breaker = self._all.setdefault(receiver, Breaker())
        breaker.failed(began_at, now)
        if answer.retry_after_s is not None:
            breaker.hold(now, answer.retry_after_s)
        return breaker.wait_until(now)

    def forget(self, now: float) -> None:
        """Forget receivers that have not been tried for long."""
        self._all = {key: each for key, each in self._all.items() if not each.forgotten(now)}
