"""Holding a connection open until its request has ended, and what its end means in HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import structlog

from api.exchange import ClientGone, Exchange, Reply, error_reply
from broker import large_bodies
from broker.ports import Engine
from schemas.errors import CALL_ERRORS, EngineError, RequestError
from schemas.lifecycle import Status
from schemas.record import Record

K = TypeVar("K")

_log = structlog.get_logger("penstock.holding")
_WAIT_S = 30.0
# How long past its deadline a request may take to be ended by its worker or the keeper.
_DEADLINE_SLACK_S = 10.0

_LOOK_S = 0.2
RELEASED = {
    "cancel": "The server goes away and has cancelled the request; send it again.",
    "finish": "The server goes away; the request is finished without it.",
}


class Holding:
    """The held calls of one api process, over the same durable path as all others."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._releasing = asyncio.Event()
        # Calls by request: a retry joins the request that its first call still holds.
        self._held: Counter[str] = Counter()
        # Calls that may be about to join, by tenant and body: the store can answer them first.
        self._joining: Counter[tuple[str, bytes]] = Counter()
        self._idle = asyncio.Event()
        self._idle.set()

    @contextlib.contextmanager
    def joining(self, tenant: str, body_hash: bytes) -> Iterator[None]:
        """Keep open requests with this body from being cancelled: a call looks for one to join."""
        key = (tenant, body_hash)
        self._joining[key] += 1
        try:
            yield
        finally:
            _take_one(self._joining, key)

    async def until_ended(self, exchange: Exchange, request: Record) -> Reply:
        """Return the backend's answer, or the error it ended with.

        A client that leaves cancels its request or lets it finish, as it has asked for, once
        nobody else holds it; then ClientGone is raised.
        """
        if request.terminal:
            return await self.answer(request)
        ending = asyncio.ensure_future(self.ended(request))
        leaving = asyncio.ensure_future(exchange.disconnected())
        releasing = asyncio.ensure_future(self.released())
        watched = {ending, leaving, releasing}
        with self.holds(request):
            try:
                await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if ending.done():
                    return await self.answer(ending.result())
                record = await self.let_go(request)
            finally:
                for task in watched:
                    task.cancel()
        if leaving.done():
            raise ClientGone
        if record is not None and record.terminal and record.status is not Status.CANCELLED:
            return await self.answer(record)
        raise RequestError("draining", RELEASED[request.on_disconnect])

    async def answer(self, ended: Record) -> Reply:
        """Return the HTTP answer of an ended request. Raises RequestError, EngineError."""
        return reply_of(await large_bodies.whole(self._engine, ended))

    @contextlib.contextmanager
    def holds(self, request: Record) -> Iterator[None]:
        """Count one more call that waits for `request`, while the block lasts."""
        self._held[request.id] += 1
        self._idle.clear()
        try:
            yield
        finally:
            _take_one(self._held, request.id)
            if not self._held:
                self._idle.set()

    async def record(self, request_id: str, wait_s: float, tenant: str) -> Record | None:
        """Return a request once it has ended, or as it is after `wait_s` or when we go away.

        Another tenant's is returned at once, so that its end is not told by the time it takes.
        """
        waiting = asyncio.ensure_future(self._engine.store.wait(request_id, wait_s, tenant))
        releasing = asyncio.ensure_future(self._releasing.wait())
        try:
            await asyncio.wait({waiting, releasing}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
            releasing.cancel()
        return await self._engine.store.get(request_id)

    async def finished(self, timeout_s: float) -> None:
        """Return when no call is held any more, or after `timeout_s`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()

    def release(self) -> None:
        """Answer every held call now: the process ends."""
        self._releasing.set()

    async def released(self) -> None:
        """Return when the process ends and every held call is to be answered."""
        await self._releasing.wait()

    async def ended(self, request: Record) -> Record:
        """Return the record once it is terminal.

        Raises RequestError `deadline_exceeded` where nothing ends it.
        """
        store = self._engine.store
        while True:
            try:
                record = await store.wait(request.id, _WAIT_S)
            except EngineError as error:
                _log.warning("holds on while the store is away", error=str(error))
                await asyncio.sleep(_LOOK_S)
                continue
            if record is not None and record.terminal:
                return record
            if time.time() > request.deadline + _DEADLINE_SLACK_S:
                raise RequestError("deadline_exceeded")
            if record is None:
                # The store has lost it; its message will bring it back.
                await asyncio.sleep(_LOOK_S)

    async def let_go(self, request: Record) -> Record | None:
        """Cancel what nobody but the caller holds any more, unless its client wants it finished.

        Return the record as it is then, None where that was not looked at.
        """
        if request.on_disconnect == "finish":
            return None
        if self._wanted(request) and not self._releasing.is_set():
            return None
        try:
            return await self._engine.store.cancel(request.id, self._engine.owner)
        except EngineError as error:
            _log.info("left to the keeper", request=request.id, error=str(error))
            return None

    def _wanted(self, request: Record) -> bool:
        """Tell whether another call here holds the request, or may be about to."""
        joining = (request.tenant, request.body_hash or b"")
        return self._held[request.id] > 1 or self._joining[joining] > 0


def _take_one(counts: Counter[K], key: K) -> None:
    """Count one less; subtracting a Counter would look at every other key as well."""
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


def reply_of(record: Record) -> Reply:
    """Return the HTTP answer of an ended request: the backend's bytes where there are any.

    Its result is whole. Raises RequestError.
    """
    result = record.result
    if result is None:
        raise RequestError("deadline_exceeded")
    headers = facts(record)
    if result.passed_on is not None:
        if is_lost(record):
            raise RequestError("result_lost")
        kind = result.content_type or "application/json"
        return Reply(result.passed_on, result.body or b"", headers, kind)
    code = CALL_ERRORS.get(result.code or "", "backend_failed")
    error = RequestError(code, f"{result.message} (request {record.id})")
    return error_reply(error, headers)


def is_lost(record: Record) -> bool:
    """Tell whether a large result is without its body, although it was looked for."""
    result = record.result
    return result is not None and result.body is None and result.body_blob is not None


def facts(record: Record) -> dict[str, str]:
    """Return the x-penstock headers: where it ran, how long it waited, what we added."""
    headers = {"x-request-id": record.id, "x-penstock-attempts": str(record.attempt)}
    if record.result is not None and record.result.backend:
        headers["x-penstock-backend"] = record.result.backend
    if record.started_at is not None:
        queued_s = max(0.0, record.started_at - record.accepted_at)
        served_s = (record.finished_at or record.started_at) - record.started_at
        total_s = time.time() - record.accepted_at
        headers["x-penstock-queue-ms"] = f"{queued_s * 1000:.1f}"
        headers["x-penstock-overhead-ms"] = f"{max(0.0, total_s - queued_s - served_s) * 1000:.1f}"
    return headers
