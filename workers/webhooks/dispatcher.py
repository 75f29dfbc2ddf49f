"""The dispatcher: every event reaches its receivers, whichever process sends it.

What an end gives rise to is first noted in the engine, then sent: a process that dies leaves posts
whose lease lapses, and another one sends them under the same id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice

import structlog

from broker import large_bodies
from broker.lifecycle import Tasks
from broker.ports import Engine, Post
from broker.ports.webhooks import KEPT_S
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.webhook_config import WebhooksConfig
from schemas.webhook_events import RESPONSES
from workers.webhooks.addressing import posts_of
from workers.webhooks.backstop import Backstop
from workers.webhooks.bounds import PER_RECEIVER, Bounds, Receiver
from workers.webhooks.breakers import Breakers
from workers.webhooks.judging import is_old
from workers.webhooks.posting import Posting
from workers.webhooks.registry import Registry
from workers.webhooks.sender import Sender, tls_context

_log = structlog.get_logger("penstock.webhooks")
_LOOK_EVERY_S = 0.5
_BATCH = 200
_NOTED_AT_ONCE = 32
# Of one receiver; what never answers leaves room for the others.
_OF_ONE = 4 * PER_RECEIVER
# A lease lasts for an attempt, and for so long before it.
_WAITS_S = 10.0
# Where too much waits for one receiver here, the rest waits in the engine.
_OVERFLOW_S = 5.0
_FORGET_EVERY_S = 600.0
# Ends that are being looked up at once; beyond that the outbox tells them.
_ENDS = 1_000
_ENDS_AT_ONCE = 32
_GRACE_S = 3.0


class Dispatcher:
    """Sends what is due, in every process that works."""

    def __init__(
        self, engine: Engine, config: WebhooksConfig, sender: Sender | None = None
    ) -> None:
        self._engine = engine
        self._config = config
        self._registry = Registry(engine.webhooks)
        self._posting = Posting(
            engine.webhooks, self._registry, sender or Sender(tls_context()), config
        )
        self._backstop = Backstop(engine, self._registry, self._tell)
        self._bounds: Bounds[tuple[Post, float]] = Bounds()
        self._breakers = Breakers()
        self._at_once = asyncio.Semaphore(_ENDS_AT_ONCE)
        self._over = False
        self._looks, self._ends, self._attempts = (
            Tasks(f"webhooks, {name}") for name in ("looks", "ends", "attempts")
        )

    def start(self) -> None:
        """Begin to send."""
        self._looks.supervise("registry", self._registry.run)
        self._looks.supervise("due", self._look)
        self._looks.supervise("backstop", self._backstop.run)
        self._looks.supervise("forget", self._forget)

    def apply(self, config: WebhooksConfig) -> None:
        """Take a new configuration; attempts that have begun go on."""
        self._config = config
        self._posting.apply(config)

    def ended(self, envelope: Envelope) -> None:
        """Take note of a request whose end has just been committed here."""
        registered = not envelope.quiet and self._registry.of(envelope.tenant)
        wanted = envelope.webhook is not None or registered
        # A commit may come later than the end of the dispatcher; others read the outbox.
        if wanted and not self._over and len(self._ends) < _ENDS:
            self._ends.spawn("end", self._tell_soon(envelope.id))

    async def stop(self) -> None:
        """Look for nothing more, let attempts end for some seconds, hand the rest back."""
        self._over = True
        await self._looks.stop()
        await self._ends.stop(_GRACE_S)
        waiting = [post.id for post, _ in self._bounds.drop_all()]
        if waiting:
            await self._put_off(waiting, time.time())
        await self._attempts.stop(_GRACE_S)

    async def _tell_soon(self, request_id: str) -> None:
        async with self._at_once:
            try:
                await self._tell([request_id])
            except EngineError as error:
                _log.warning("left to the outbox", request=request_id, error=str(error))

    async def _tell(self, request_ids: Iterable[str]) -> None:
        """Note what the ends of these requests give rise to, and send what nobody sends yet."""
        for request_id in request_ids:
            record = await self._engine.store.get(request_id)
            if record is not None and record.terminal:
                if record.endpoint == RESPONSES:
                    # Its body says which event it is.
                    record = await large_bodies.whole(self._engine, record)
                endpoints = self._registry.of(record.tenant)
                posts = posts_of(record, endpoints, self._config.retry_s)
                # Of one request there may be hundreds, each with the whole event.
                while batch := list(islice(posts, _NOTED_AT_ONCE)):
                    await self._note(batch)

    async def _note(self, posts: Sequence[Post]) -> None:
        leased_until = time.time() + self._lease_s
        new = await self._engine.webhooks.add(posts, self._lease_s)
        now = time.time()
        await self._offer([post for post in new if post.due_at <= now], leased_until)

    async def _look(self) -> None:
        """Send what is due, until cancelled."""
        while True:
            posts: Sequence[Post] = ()
            leased_until = time.time() + self._lease_s
            try:
                posts = await self._engine.webhooks.due(_BATCH, self._lease_s, _OF_ONE)
                await self._offer(posts, leased_until)
            except EngineError as error:
                _log.warning("nothing is sent while the engine is away", error=str(error))
            if len(posts) < _BATCH:
                await asyncio.sleep(_LOOK_EVERY_S)

    async def _forget(self) -> None:
        while True:
            self._breakers.forget(time.time())
            try:
                await self._engine.webhooks.forget(time.time() - KEPT_S)
            except EngineError as error:
                _log.warning("old posts are kept for now", error=str(error))
            await asyncio.sleep(_FORGET_EVERY_S)

    @property
    def _lease_s(self) -> float:
        return self._config.timeout_s + _WAITS_S

    async def _offer(self, posts: Sequence[Post], leased_until: float) -> None:
        """Let leased posts wait for their turn; those whose receiver is left alone wait longer."""
        now = time.time()
        put_off: dict[float, list[str]] = {}
        for post in posts:
            receiver = Receiver(post.tenant, post.receiver)
            until = (
                None
                if is_old(post, now, self._config.retry_s)
                else (self._breakers.wait_until(receiver, now))
            )
            if until is not None:
                put_off.setdefault(until, []).append(post.id)
            elif not self._bounds.offer(receiver, (post, leased_until)):
                put_off.setdefault(now + _OVERFLOW_S, []).append(post.id)
        self._pump()
        for until, ids in put_off.items():
            await self._put_off(ids, until)

    def _pump(self) -> None:
        """Begin as many attempts as the bounds let."""
        while (taken := self._bounds.take()) is not None:
            receiver, (post, leased_until) = taken
            self._attempts.spawn("attempt", self._attempt(receiver, post, leased_until))

    async def _attempt(self, receiver: Receiver, post: Post, leased_until: float) -> None:
        try:
            # One whose lease may lapse meanwhile is found again, here or by another process.
            if time.time() + self._config.timeout_s <= leased_until:
                await self._try(receiver, post)
        except EngineError as error:
            _log.warning("could not be sent", post=post.id, error=str(error))
        finally:
            self._bounds.done(receiver)
            self._pump()

    async def _try(self, receiver: Receiver, post: Post) -> None:
        began_at = time.time()
        until = self._breakers.wait_until(receiver, began_at)
        if until is not None and not is_old(post, began_at, self._config.retry_s):
            await self._put_off([post.id], until)
            return
        self._breakers.began(receiver, began_at)
        answer = await self._posting.attempt(post)
        if answer is None:
            return
        now = time.time()
        until = self._breakers.ended(receiver, answer, began_at, now)
        if until is not None:
            waiting = [each.id for each, _ in self._bounds.drop(receiver)]
            if waiting:
                await self._put_off(waiting, until)

    async def _put_off(self, ids: Sequence[str], until: float) -> None:
        try:
            await self._engine.webhooks.put_off(ids, until)
        except EngineError as error:
            # Their leases lapse.
            _log.warning("could not be put off", posts=len(ids), error=str(error))
