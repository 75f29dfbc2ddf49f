"""The event log of a streamed request as its worker writes it: begun before each call, then fed."""

from __future__ import annotations

import asyncio
import time

from broker.lifecycle import drop
from broker.persistence import persistently
from broker.ports import Events
from broker.telemetry import (
    BACKEND_FIRST_TOKEN_SECONDS,
    FIRST_TOKEN_SECONDS,
    INTER_TOKEN_SECONDS,
)
from workers.backends.port import Answer, Backend, Call
from workers.inflight import Aborted, InFlight
from workers.tapping import Tap, Tapping, Taps

# A backend that is faster than the log waits once so much is not in it.
_MOST_HELD_BYTES = 1024 * 1024


class Logs:
    """The logs of the requests that this process runs."""

    def __init__(self, events: Events, taps: Taps = lambda _envelope: None) -> None:
        self._events = events
        self._taps = taps

    async def begin(self, run: InFlight) -> bool:
        """Let this attempt write, if the request streams; False if it may not call.

        Then an attempt that is lost has shown a part of its answer, and the request allows no other
        one to begin it anew.
        """
        asked = run.envelope
        if not asked.stream:
            return True
        first = await persistently(
            lambda: self._events.begin(
                asked.id, run.attempt, restart=asked.restart, deadline=asked.deadline
            ),
            "begin the event log",
        )
        run.first_event = first or 0
        return first is not None

    def writer(self, run: InFlight, backend: str) -> LogWriter | None:
        """Return what takes the events of the next call; None if the request does not stream."""
        if not run.envelope.stream:
            return None
        return LogWriter(self._events, self._taps(run.envelope), run, backend)


class LogWriter:
    """Takes the events of one call and appends them while `run` runs.

    One append is under way at most; what comes meanwhile goes together with the next one.
    """

    def __init__(self, events: Events, tap: Tap | None, run: InFlight, backend: str) -> None:
        self.tapping = Tapping(tap)
        self._events = events
        self._run = run
        self._next = run.first_event
        self._timing = _Timing(run, backend)
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._appends = False
        self._closed = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()

    async def __call__(self, data: bytes) -> None:
        """Take one event; return once there is room for more."""
        self._timing.event()
        self._held.append(data)
        self._held_bytes += len(data)
        self._news.set()
        while self._held_bytes > _MOST_HELD_BYTES:
            self._room.clear()
            await self._room.wait()

    def close(self, *, is_whole: bool) -> None:
        """Say that no event follows.

        Of an answer that failed nothing is shown that was not on its way yet: if that is all of it,
        another attempt can answer instead.
        """
        if not is_whole and not self._appends:
            self._held.clear()
        self._closed = True
        self._news.set()

    async def run(self) -> None:
        """Append until it is closed. Raises Aborted once a newer attempt writes."""
        while self._held or not self._closed:
            await self._news.wait()
            self._news.clear()
            if self._held:
                await self._append()

    async def _append(self) -> None:
        batch, self._held = self._held, []
        first, request_id, attempt = self._next, self._run.envelope.id, self._run.attempt
        self._appends = self._run.shown = True
        ours = await persistently(
            lambda: self._events.append(request_id, attempt, first, batch), "append events"
        )
        if not ours:
            raise Aborted
        self._next += len(batch)
        self._held_bytes -= sum(map(len, batch))
        self._room.set()
        if self._held:
            self._news.set()
        self.tapping.hear(first, batch)


class _Timing:
    """Measures when the events of one call come; it begins now."""

    def __init__(self, run: InFlight, backend: str) -> None:
        self._run = run
        self._backend = backend
        self._between = INTER_TOKEN_SECONDS.labels(backend)
        self._began = time.monotonic()
        self._last: float | None = None

    def event(self) -> None:
        now = time.monotonic()
        if self._last is not None:
            self._between.observe(now - self._last)
        else:
            BACKEND_FIRST_TOKEN_SECONDS.labels(self._backend).observe(now - self._began)
            self._tell_first()
        self._last = now

    def _tell_first(self) -> None:
        asked = self._run.envelope
        # An answer that is begun anew has shown its first token long ago.
        if self._run.first_event == 0:
            waited_s = max(0.0, time.time() - asked.accepted_at)
            FIRST_TOKEN_SECONDS.labels(asked.model, asked.priority).observe(waited_s)


async def stream(backend: Backend, url: str, made: Call, writer: LogWriter) -> Answer:
    """Make one call whose events go to `writer`; return once all of them are in the log.

    Whoever listens has been told of them then, unless that takes too long.

    Raises CallFailed, and Aborted once a newer attempt writes.
    """
    telling = asyncio.ensure_future(writer.tapping.run())
    writing = asyncio.ensure_future(writer.run())
    calling = asyncio.ensure_future(_called(backend, url, made, writer))
    try:
        await asyncio.wait({writing, calling}, return_when=asyncio.FIRST_COMPLETED)
        # A writer that ends before the call does has failed, and that is raised here.
        await writing
        await writer.tapping.close(telling)
        return calling.result()
    finally:
        await drop(calling)
        await drop(writing)
        await drop(telling)


async def _called(backend: Backend, url: str, made: Call, writer: LogWriter) -> Answer:
    is_whole = False
    try:
        answer = await backend.stream(url, made, writer)
        is_whole = True
        return answer
    finally:
        writer.close(is_whole=is_whole)
