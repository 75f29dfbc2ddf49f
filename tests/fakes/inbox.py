"""A receiver of deliveries that a test can wait on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from broker.ports import Delivery


class Inbox:
    """Keeps what is handed over, in order; call it with each delivery."""

    def __init__(self) -> None:
        self.got: list[Delivery] = []
        self._news = asyncio.Event()

    def __call__(self, delivery: Delivery) -> None:
        self.got.append(delivery)
        self._news.set()

    @property
    def ids(self) -> list[str]:
        """The request ids, in the order they came."""
        return [delivery.envelope.id for delivery in self.got]

    async def until(self, done: Callable[[], bool], timeout_s: float = 20.0) -> None:
        """Wait until `done()` holds; it is asked again after each delivery."""
        async with asyncio.timeout(timeout_s):
            while not done():
                self._news.clear()
                await self._news.wait()

    async def count(self, wanted: int, timeout_s: float = 20.0) -> list[Delivery]:
        """Wait for `wanted` deliveries in all and return them."""
        await self.until(lambda: len(self.got) >= wanted, timeout_s)
        return self.got

    async def ack_all(self) -> None:
        """Settle everything that came so far."""
        for delivery in self.got:
            await delivery.ack()
