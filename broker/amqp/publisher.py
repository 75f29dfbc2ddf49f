"""Publishes: confirmed, mandatory, within a time limit, and never cut short by its caller."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aiormq.abc import AbstractChannel

from broker.amqp.confirms import Outcome, Sent
from broker.amqp.connection import Link
from broker.amqp.counters import Counters
from broker.amqp.declare import GONE_QUEUE_S, Declarer
from broker.amqp.hot_channel import HotChannel
from broker.amqp.session import Session, close_channel
from broker.lifecycle import Tasks
from broker.topology import QueueSpec
from schemas.errors import EngineError, QueueUnavailable

PUBLISH_LIMIT_S = 5.0
# RabbitMQ 4 takes 16 MiB a message; one more byte closes the channel under all its publishes.
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
# During the election of a queue's leader a channel can refuse every publish for good; a new one
# works as soon as there is a leader.
_NACK_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message on its way to `queue`, by `exchange` (a tier's, or that of the queue itself)."""

    exchange: str
    queue: QueueSpec
    body: bytes
    request_id: str

    @property
    def direct(self) -> bool:
        """Whether it goes to its queue at once, through no tier."""
        return self.exchange == self.queue.exchange


@dataclass(slots=True, eq=False)
class _Shared:
    """The channel that publishes go to now; once retired it is closed after its last one."""

    session: Session
    channel: AbstractChannel
    hot: HotChannel
    in_flight: int = 0
    retired: bool = False

    @property
    def usable(self) -> bool:
        return not (self.retired or self.hot.closed or self.session.lost.done())


@dataclass(slots=True, eq=False)
class _Attempt:
    """One time that a message was sent."""

    shared: _Shared
    sent: Sent
    sent_at: float


class Publisher:
    """Publishes on one connection; many publishes are in flight at once."""

    def __init__(self, link: Link, declarer: Declarer, counters: Counters) -> None:
        self._link = link
        self._declarer = declarer
        self._counters = counters
        self._tasks = Tasks("amqp publisher")
        self._shared: _Shared | None = None
        self._opening = asyncio.Lock()
        self._stopped = False
        self._callers = 0
        self._idle = asyncio.Event()

    async def publish(self, message: Outgoing) -> None:
        """Return once `message` is confirmed.

        Raises QueueUnavailable (the outcome is unknown) or TopologyDrift. A cancelled caller does
        not stop the publish: it is on its way, and its outcome must not take others along.
        """
        with self._calling():
            await self._publish(message, asyncio.get_running_loop().time() + PUBLISH_LIMIT_S)

    async def publish_all(self, messages: Sequence[Outgoing]) -> list[EngineError | None]:
        """Publish many at once, each as `publish` does; return what that would raise, or None."""
        until = asyncio.get_running_loop().time() + PUBLISH_LIMIT_S
        try:
            with self._calling():
                return await self._tasks.finish("publish all", self._publish_all(messages, until))
        except QueueUnavailable as error:
            return [error] * len(messages)

    async def stop(self) -> None:
        """Let publishes in flight end within their limit; later ones are refused."""
        self._stopped = True
        while self._callers:
            self._idle.clear()
            await self._idle.wait()
        # What is left are those whose callers were cancelled.
        await self._tasks.stop(grace_s=PUBLISH_LIMIT_S)

    @contextmanager
    def _calling(self) -> Iterator[None]:
        if self._stopped:
            raise QueueUnavailable("The queue is stopped.")
        self._callers += 1
        try:
            yield
        finally:
            self._callers -= 1
            if not self._callers:
                self._idle.set()

    async def _publish_all(
        self, messages: Sequence[Outgoing], until: float
    ) -> list[EngineError | None]:
        attempts = [self._attempt_at_once(message) for message in messages]
        # What is not so simple goes its own way meanwhile.
        outcomes: list[asyncio.Future[None] | None] = [
            None
            if attempt is not None
            else asyncio.ensure_future(self._within_limit(message, until, None))
            for message, attempt in zip(messages, attempts, strict=True)
        ]
        for place, attempt in enumerate(attempts):
            if attempt is None:
                continue
            if await attempt.sent.within(until) is Outcome.CONFIRMED:
                self._conclude(attempt)
            else:
                again = self._within_limit(messages[place], until, attempt)
                outcomes[place] = asyncio.ensure_future(again)
        return [None if outcome is None else await _error_of(outcome) for outcome in outcomes]

    async def _publish(self, message: Outgoing, until: float) -> None:
        """Send at once, in the caller's own task; only what is not so simple gets one of ours."""
        attempt = self._attempt_at_once(message)
        if attempt is not None:
            try:
                outcome = await attempt.sent.within(until)
            except asyncio.CancelledError:
                self._tasks.spawn("publish", self._within_limit(message, until, attempt))
                raise
            if outcome is Outcome.CONFIRMED:
                self._conclude(attempt)
                return
        await self._tasks.finish("publish", self._within_limit(message, until, attempt))

    async def _within_limit(
        self, message: Outgoing, until: float, attempt: _Attempt | None
    ) -> None:
        if len(message.body) > MAX_MESSAGE_BYTES:
            raise QueueUnavailable(f"{len(message.body)} bytes are more than RabbitMQ takes.")
        try:
            async with asyncio.timeout_at(until):
                await self._until_confirmed(message, until, attempt)
        except TimeoutError as error:
            self._counters.unconfirmed += 1
            reason = self._link.trouble or "it is connected"
            raise QueueUnavailable(
                f"RabbitMQ confirmed nothing in {PUBLISH_LIMIT_S:g} s ({reason})."
            ) from error
        except asyncio.CancelledError as error:
            # Ours are cancelled by nobody but `stop`; whoever waits must hear of it as a failure.
            raise QueueUnavailable("The queue was stopped before a confirm came.") from error

    async def _until_confirmed(
        self, message: Outgoing, until: float, attempt: _Attempt | None
    ) -> None:
        pauses = iter(_NACK_PAUSES_S)
        declared = False
        while True:
            attempt = attempt or await self._attempt(message)
            try:
                outcome = await attempt.sent.within(until)
            finally:
                self._conclude(attempt)
            match outcome:
                case None:
                    raise TimeoutError
                case Outcome.CONFIRMED:
                    return
                case Outcome.RETURNED | Outcome.NO_EXCHANGE if not declared:
                    self._counters.returned += 1
                    await self._declare(message, attempt)
                    declared = True
                case Outcome.NACKED:
                    self._counters.nacked += 1
                    pause = next(pauses, None)
                    if pause is None:
                        raise QueueUnavailable("RabbitMQ refuses messages on every channel.")
                    await asyncio.sleep(pause)
                case Outcome.LOST:
                    raise QueueUnavailable(f"RabbitMQ did not confirm: {attempt.shared.hot.reason}")
                case _:
                    raise QueueUnavailable(f"RabbitMQ has no way to {message.queue.name}.")
            attempt = None

    async def _attempt(self, message: Outgoing) -> _Attempt:
        """Send as soon as there is a channel with room and a safe way."""
        while True:
            shared = await self._usable()
            if not message.direct:
                # RabbitMQ holds what leaves a tier for nowhere, and looks again only much later.
                await self._declarer.ensure(shared.session, message.queue)
                await self._declarer.tiers_safe()
            await shared.hot.wire.room()
            if shared.usable:
                return _send(shared, message)

    def _attempt_at_once(self, message: Outgoing) -> _Attempt | None:
        """Send if nothing has to be waited for."""
        shared = self._shared
        if shared is None or not shared.usable or shared.hot.wire.crowded:
            return None
        if not message.direct or len(message.body) > MAX_MESSAGE_BYTES:
            return None
        return _send(shared, message)

    def _conclude(self, attempt: _Attempt) -> None:
        """Count an attempt that nobody waits for any more."""
        shared, outcome = attempt.shared, attempt.sent.outcome
        shared.in_flight -= 1
        if outcome is Outcome.CONFIRMED:
            self._counters.confirmed += 1
        elif outcome is None or outcome is Outcome.NACKED:
            # No confirm in time: the channel may be the one that never answers again.
            shared.retired = True
        self._close_if_done(shared)

    async def _declare(self, message: Outgoing, attempt: _Attempt) -> None:
        session, missed_at = attempt.shared.session, attempt.sent_at
        if attempt.sent.outcome is Outcome.NO_EXCHANGE or not message.direct:
            await self._declarer.shared(session, missed_at)
        if message.direct:
            await asyncio.sleep(GONE_QUEUE_S)
            await self._declarer.ensure(session, message.queue, missed_at, missed=True)

    async def _usable(self) -> _Shared:
        """Return the channel of the moment, opening one if need be."""
        shared = self._shared
        if shared is not None and shared.usable:
            return shared
        async with self._opening:
            if self._shared is None or not self._shared.usable:
                session = await self._link.session()
                self._shared = _Shared(session, *await session.open_hot(confirms=True))
            return self._shared

    def _close_if_done(self, shared: _Shared) -> None:
        finished = shared.retired and not shared.in_flight and not shared.hot.closed
        if finished and not self._stopped:
            self._tasks.spawn("close a retired channel", close_channel(shared.channel))


async def _error_of(outcome: asyncio.Future[None]) -> EngineError | None:
    try:
        await outcome
    except EngineError as error:
        return error
    return None


def _send(shared: _Shared, message: Outgoing) -> _Attempt:
    sent_at = time.monotonic()
    sent = shared.hot.publish(
        message.exchange, message.queue.routing_key, message.request_id, message.body
    )
    shared.in_flight += 1
    return _Attempt(shared, sent, sent_at)
