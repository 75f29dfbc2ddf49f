"""The requests this process runs now, by id: one run each, however many deliveries it has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from broker.ports import Delivery, Reservation
from schemas.attempts import Attempt
from schemas.envelope import Envelope
from schemas.result import Result, Usage


class Aborted(Exception):
    """The call was dropped because the request ended elsewhere or the process must go."""


@dataclass(eq=False, slots=True)
class InFlight:
    """One request in the hands of this process.

    `deliveries` are all live hand-overs of its message; they are settled together, once. `abort`
    drops the backend call. `called`, `usage`, `tokens` and `service_s` add up its calls here;
    `tokens` is None once it is unknown what a call has used. `made` is the attempt that has ended
    and is not in the record yet; a first one that succeeds is told from its result. Of a stream,
    `first_event` is the number of this attempt's first event, and `shown` whether any was.
    `fetched` is the envelope with a large body in it, which the calls need and nobody keeps.
    """

    envelope: Envelope
    reservation: Reservation
    deliveries: list[Delivery]
    attempt: int = 0
    started_at: float = 0.0
    aborted: asyncio.Event = field(default_factory=asyncio.Event)
    is_settled: bool = False
    called: bool = False
    usage: Usage | None = None
    tokens: int | None = 0
    service_s: float = 0.0
    made: Attempt | None = None
    first_event: int = 0
    shown: bool = False
    fetched: Envelope | None = None

    @property
    def asked(self) -> Envelope:
        """The envelope with its body in it."""
        return self.fetched or self.envelope

    def adopt(self, delivery: Delivery) -> bool:
        """Take in one more hand-over of this message; False when the others are settled already."""
        if not self.is_settled:
            self.deliveries.append(delivery)
        return not self.is_settled

    def settle(self) -> list[Delivery]:
        """Return all hand-overs, to be settled now; none is adopted any more."""
        self.is_settled = True
        return self.deliveries

    def abort(self) -> None:
        """Drop the backend call: the record is terminal already, or the grace has ended."""
        self.aborted.set()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run went: the result to commit; a dead letter keeps its envelope in the record."""

    result: Result
    dead_letter: bool = False


class InFlightMap:
    """All runs of this process; a finished one leaves only after its last step."""

    def __init__(self) -> None:
        self._runs: dict[str, InFlight] = {}
        self._claims: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[InFlight]:
        return iter(tuple(self._runs.values()))

    def get(self, request_id: str) -> InFlight | None:
        """Return the run of a request, if it runs here."""
        return self._runs.get(request_id)

    @contextmanager
    def claiming(self, request_id: str) -> Iterator[None]:
        """Note that a delivery of this request is being claimed here."""
        self._claims[request_id] += 1
        try:
            yield
        finally:
            self._claims[request_id] -= 1
            if not self._claims[request_id]:
                del self._claims[request_id]

    def knows(self, request_id: str) -> bool:
        """Tell whether it runs here, or another delivery of it may just have begun to."""
        return request_id in self._runs or self._claims[request_id] > 1

    def abort(self, request_id: str) -> None:
        """Drop the call of a request that has ended elsewhere, if it runs here."""
        if (run := self._runs.get(request_id)) is not None:
            run.abort()

    def abort_lost(self, reservations: Collection[Reservation]) -> None:
        """Drop the calls under reservations that others may hold by now."""
        for run in self:
            if run.reservation in reservations:
                run.abort()

    def add(self, run: InFlight) -> None:
        """Note a run that has just been claimed."""
        self._runs[run.envelope.id] = run

    def remove(self, run: InFlight) -> None:
        """Forget a run."""
        if self._runs.get(run.envelope.id) is run:
            del self._runs[run.envelope.id]

    def ids(self) -> list[str]:
        """Return the ids of all runs."""
        return list(self._runs)
