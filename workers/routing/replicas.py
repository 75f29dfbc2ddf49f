"""Which replica of a backend takes the next call: the one with the fewest in flight for its limit.

The limits are this process's own, either the backend's whole `concurrency` or found out by how each
replica answers. That all processes together never exceed `concurrency` is the slots' to keep.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from broker.scheduling.adaptive import AdaptiveLimit
from broker.scheduling.backoff import Backoff
from broker.telemetry import REPLICA_LIMIT
from schemas.limits import AdaptiveConcurrency

Clock = Callable[[], float]
Wake = Callable[[], None]


class Replicas:
    """The base URLs of one backend, and the calls this process has open on each.

    Calls on a URL that is gone are still counted.
    """

    def __init__(self, backend: str, clock: Clock = time.monotonic) -> None:
        self._backend = backend
        self._clock = clock
        self._urls: list[str] = []
        self._fixed = 0
        self._adaptive: dict[str, AdaptiveLimit] = {}
        self._open: Counter[str] = Counter()
        self._expected: set[str] = set()
        self._paused_until: dict[str, float] = {}
        self._backoffs: defaultdict[str, Backoff] = defaultdict(Backoff)
        self._turn = 0
        self._wakes: set[Wake] = set()

    def configure(self, urls: Sequence[str], concurrency: int | AdaptiveConcurrency) -> None:
        """Take over URLs and limits for every call that begins from now on."""
        gone = [url for url in self._urls if url not in urls]
        self._urls = list(urls)
        if isinstance(concurrency, AdaptiveConcurrency):
            low, high = concurrency.min, concurrency.max
            for url in urls:
                self._adaptive.setdefault(url, AdaptiveLimit(low, high)).bound(low, high)
        else:
            self._fixed = concurrency
            gone = list(self._adaptive)
        for url in gone:
            if self._adaptive.pop(url, None) is not None:
                REPLICA_LIMIT.remove(self._backend, _place(url))
        self._tell()

    @property
    def room(self) -> int:
        """How many more calls this process may begin now, beside those that are expected."""
        return max(0, sum(self._room_on(url) for url in self._urls) - len(self._expected))

    @property
    def found_out(self) -> int | None:
        """How many calls this process may have open by what it has found out; None where fixed."""
        if not self._adaptive:
            return None
        return sum(self._limit(url) for url in self._urls)

    def expect(self, reservation_id: str) -> None:
        """Keep room for a call that is about to begin under this reservation, until `arrived`."""
        self._expected.add(reservation_id)

    def arrived(self, reservation_id: str) -> None:
        """Keep no more room for it: its call begins, or there will be none."""
        with self._telling():
            self._expected.discard(reservation_id)

    def untried(self, tried: Collection[str]) -> int:
        """Return how many URLs are not in `tried` and can take a call now."""
        return sum(url not in tried and self._room_on(url) > 0 for url in self._urls)

    def choose(self, tried: Collection[str] = ()) -> str | None:
        """Return the least loaded URL not in `tried`, in turn among equals.

        Falls back to all of them once every one has been tried; None while none can take a call.
        """
        ready = [url for url in self._urls if self._room_on(url) > 0]
        candidates = [url for url in ready if url not in tried] or ready
        if not candidates:
            return None
        self._turn += 1
        offset = self._turn % len(candidates)
        turned = candidates[offset:] + candidates[:offset]
        return min(turned, key=lambda url: (self._open[url] + 1) / self._limit(url))

    @contextmanager
    def calling(self, url: str) -> Iterator[OpenCall]:
        """Count a call on `url` for as long as it is open; tell the yielded one how it went."""
        self._open[url] += 1
        try:
            yield OpenCall(self, url, self._clock(), self._open[url])
        finally:
            was_full = self.room <= 0
            self._open[url] -= 1
            if was_full:
                self._tell()

    def on_room(self, wake: Wake) -> None:
        """Call `wake` whenever there is room and there was none, until `let_sleep`."""
        self._wakes.add(wake)

    def let_sleep(self, wake: Wake) -> None:
        """Call `wake` no more."""
        self._wakes.discard(wake)

    def answered(self, call: OpenCall, kind: str, output_tokens: int | None) -> None:
        """Learn from an answer; see OpenCall."""
        with self._telling():
            self._backoffs[call.url].answered()
            if (limit := self._adaptive.get(call.url)) is not None:
                limit.answered(call.began, self._clock(), call.in_flight, kind, output_tokens)
                self._show(call.url, limit)

    def refused(self, call: OpenCall, pause_s: float | None) -> None:
        """Learn from a refusal; see OpenCall."""
        now = self._clock()
        self.overloaded(call, pause_s or 0.0)
        backoff = self._backoffs[call.url]
        backoff.refused(call.began, now)
        if pause_s:
            self._paused_until[call.url] = max(self._paused_until.get(call.url, 0.0), now + pause_s)
        if (resumes_at := self._resumes_at(call.url)) > now:
            # A little later, since the loop's timers may be early.
            asyncio.get_running_loop().call_later(resumes_at - now + 0.01, self._tell)

    def overloaded(self, call: OpenCall, pause_s: float = 0.0) -> None:
        """Learn from a call that came to nothing for want of capacity; see OpenCall."""
        if (limit := self._adaptive.get(call.url)) is not None:
            limit.refused(call.began, self._clock(), call.in_flight, pause_s)
            self._show(call.url, limit)

    def _room_on(self, url: str) -> int:
        if self._resumes_at(url) > self._clock():
            return 0
        return max(0, self._limit(url) - self._open[url])

    def _limit(self, url: str) -> int:
        adaptive = self._adaptive.get(url)
        return self._fixed if adaptive is None else adaptive.limit

    def _resumes_at(self, url: str) -> float:
        return max(self._paused_until.get(url, 0.0), self._backoffs[url].until)

    def _show(self, url: str, limit: AdaptiveLimit) -> None:
        REPLICA_LIMIT.labels(self._backend, _place(url)).set(limit.limit)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Tell of room that comes about inside: many pools may wait, so not of every change."""
        had = self.room
        yield
        if not had and self.room:
            self._tell()

    def _tell(self) -> None:
        for wake in tuple(self._wakes):
            wake()


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call on one replica: since when, and as the last of how many from this process."""

    replicas: Replicas
    url: str
    began: float
    in_flight: int

    def answered(self, kind: str, output_tokens: int | None) -> None:
        """It was answered; `kind` is what calls are alike in, such as the model."""
        self.replicas.answered(self, kind, output_tokens)

    def refused(self, pause_s: float | None) -> None:
        """It was more than the replica could take; it wants none for `pause_s`."""
        self.replicas.refused(self, pause_s)

    def timed_out(self) -> None:
        """It had no answer in time; calls of another model may have theirs."""
        self.replicas.overloaded(self)


def _place(url: str) -> str:
    """Return host and port: a URL may hold credentials, and labels are public."""
    return urlsplit(url).netloc.rpartition("@")[2]
