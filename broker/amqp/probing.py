"""Questions that may fail: a refusal closes the channel it met, some even the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource
from yarl import URL

from broker.amqp.session import Session, translated

REFUSALS = (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)
QUESTION_S = 3.0

T = TypeVar("T")


class Prober:
    """Asks on one channel after the other, and on another connection where one was closed."""

    def __init__(self, url: URL, session: Session) -> None:
        self._url = url
        self._session = session
        self._channel: AbstractChannel | None = None

    async def blocked(self) -> bool:
        """Tell whether an alarm keeps RabbitMQ from reading what we send."""
        return await self._session.blocked()

    async def ask(self, question: Callable[[AbstractChannel], Awaitable[T]]) -> T:
        """Return the answer.

        Raises one of REFUSALS, or QueueUnavailable when there is none in time. A question passes
        `timeout=QUESTION_S` on, so that the client closes the channel with it.
        """
        if self._session.closed:
            self._session = await Session.open(self._url)
            self._channel = None
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._session.open_channel(confirms=True)
        try:
            with translated("RabbitMQ does not answer", but=REFUSALS):
                return await question(self._channel)
        except BaseException:
            self._channel = None
            raise

    async def close(self) -> None:
        """Close the connection in use."""
        await self._session.close()
