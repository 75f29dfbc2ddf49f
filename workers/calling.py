"""One call to a backend: made, watched, dropped when its request has ended, and accounted for."""

from __future__ import annotations

import asyncio
import time

from broker.lifecycle import drop
from broker.scheduling.retry import CLASSES, Failure
from broker.telemetry import ATTEMPTS, CALL_SECONDS, REPLICA_WAITS
from schemas.attempts import Attempt
from workers.backends.port import Answer, Call, CallFailed
from workers.inflight import Aborted, InFlight
from workers.routing.names import origin_of, with_model
from workers.routing.replicas import OpenCall
from workers.streaming import LogWriter, stream
from workers.upstreams import Upstream

# Closing a connection tells the backend only a moment later; the slot is held until it knows.
ABORT_LINGER_S = 0.25
_CUT_SHORT = (Failure.TIMED_OUT, Failure.UNUSABLE)


async def ready_replica(run: InFlight, upstream: Upstream, tried: list[str]) -> str | None:
    """Return the replica for the next call once one can take it; None at the deadline.

    The pool starts no more than there is room for, so that only a pause that begins meanwhile is
    waited for here. Raises Aborted.
    """
    if run.aborted.is_set():
        raise Aborted
    url = upstream.replicas.choose(tried)
    if url is not None:
        return url
    REPLICA_WAITS.labels(upstream.name).inc()
    woken = asyncio.Event()
    upstream.replicas.on_room(woken.set)
    try:
        async with asyncio.timeout(run.envelope.deadline - time.time()):
            while (url := upstream.replicas.choose(tried)) is None:
                await _first_of(run, woken)
                woken.clear()
    except TimeoutError:
        return None
    finally:
        upstream.replicas.let_sleep(woken.set)
    return url


async def call(
    run: InFlight, upstream: Upstream, url: str, model: str, writer: LogWriter | None
) -> Answer:
    """Make one call at `url`, dropping it when the run is aborted or its deadline passes.

    With a `writer` the answer is streamed to it. Raises CallFailed and Aborted. `run` knows
    afterwards what it has cost and how it went.
    """
    began = time.time()
    run.called = True
    upstream.budget.called(time.monotonic())
    with upstream.replicas.calling(url) as open_call:
        upstream.replicas.arrived(run.reservation.id)
        try:
            answer = await _watched(run, upstream, url, _call_of(run, upstream, model), writer)
        except CallFailed as failed:
            _failed(run, upstream, open_call, failed, began)
            raise
        except Aborted:
            ATTEMPTS.labels(upstream.name, "cancelled").inc()
            run.tokens = None
            run.made = _made(run, upstream, began, "cancelled")
            raise
        else:
            _answered(run, upstream, open_call, answer, f"{run.envelope.endpoint} {model}", began)
            return answer
        finally:
            took_s = time.time() - began
            run.service_s += took_s
            CALL_SECONDS.labels(upstream.name).observe(took_s)


def _call_of(run: InFlight, upstream: Upstream, model: str) -> Call:
    return Call(
        request_id=run.envelope.id,
        attempt=run.attempt,
        endpoint=run.envelope.endpoint,
        body=with_model(run.asked, model),
        content_type=run.envelope.content_type,
        timeout_s=min(upstream.timeout_s, max(0.001, run.envelope.deadline - time.time())),
        traceparent=run.envelope.traceparent,
        first_event=run.first_event,
        origin=origin_of(run.asked),
    )


async def _watched(
    run: InFlight, upstream: Upstream, url: str, made: Call, writer: LogWriter | None
) -> Answer:
    """Make the call; its slot is held until the backend knows of a call that is cut off."""
    backend = upstream.backend
    exchange = backend.call(url, made) if writer is None else stream(backend, url, made, writer)
    calling = asyncio.ensure_future(exchange)
    aborting = asyncio.ensure_future(run.aborted.wait())
    try:
        await asyncio.wait({calling, aborting}, return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            await drop(calling)
            raise Aborted
        return calling.result()
    except Aborted:
        await asyncio.sleep(ABORT_LINGER_S)
        raise
    except CallFailed as failed:
        if failed.failure in _CUT_SHORT:
            await asyncio.sleep(ABORT_LINGER_S)
        raise
    finally:
        await drop(calling)
        await drop(aborting)


def _answered(
    run: InFlight, upstream: Upstream, open_call: OpenCall, answer: Answer, kind: str, began: float
) -> None:
    ATTEMPTS.labels(upstream.name, "ok").inc()
    run.usage = answer.usage
    _spend(run, answer.usage.total_tokens if answer.usage is not None else None)
    open_call.answered(kind, answer.usage.output_tokens if answer.usage is not None else None)
    if run.attempt > 1:
        run.made = _made(run, upstream, began, "ok", answer.status_code)


def _failed(
    run: InFlight, upstream: Upstream, open_call: OpenCall, failed: CallFailed, began: float
) -> None:
    ATTEMPTS.labels(upstream.name, failed.failure.value).inc()
    _spend(run, None if failed.failure in _CUT_SHORT else 0)
    if failed.failure is Failure.BUSY:
        open_call.refused(failed.retry_after_s)
    elif CLASSES[failed.failure].overload:
        open_call.timed_out()
    status_code = failed.answer.status_code if failed.answer is not None else None
    run.made = _made(run, upstream, began, failed.failure.value, status_code, failed.message)


def _spend(run: InFlight, tokens: int | None) -> None:
    run.tokens = None if run.tokens is None or tokens is None else run.tokens + tokens


def _made(
    run: InFlight,
    upstream: Upstream,
    began: float,
    outcome: str,
    status_code: int | None = None,
    message: str | None = None,
) -> Attempt:
    """Return what is told of this attempt: the backend's name, never where it is."""
    return Attempt(run.attempt, upstream.name, began, time.time(), outcome, status_code, message)


async def _first_of(run: InFlight, woken: asyncio.Event) -> None:
    """Return when there may be room. Raises Aborted."""
    waits = [asyncio.ensure_future(event.wait()) for event in (run.aborted, woken)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            await drop(wait)
    if run.aborted.is_set():
        raise Aborted
