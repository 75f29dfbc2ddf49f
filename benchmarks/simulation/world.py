"""One model: its queues, its workers and its slots, under a virtual clock."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from benchmarks.simulation.requests import Request
from benchmarks.simulation.worker import Line, Worker
from broker.ports import Cap, Granted, Reservation, Served, Spent, Want
from broker.scheduling.lanes import next_lane
from broker.scheduling.outlook import outlook
from broker.scheduling.reserving import Reserver
from broker.scheduling.served import merge_served
from broker.scheduling.shares import ClassShare, shares_of
from schemas.limits import SchedulingConfig
from schemas.priority import RANK, Lane, Priority

_BEAT_S = 2.0
_BACKEND, _MODEL = "b", "m"


def _one(_tenant: str) -> float:
    return 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """What serves the model. A window holds so many of a lane, those that run among them.

    `batch_slots` are those that batch requests may hold beside others.
    """

    slots: int = 8
    batch_slots: int | None = None
    workers: int = 1
    window_beyond_slots: int = 160
    tells_eta: bool = False
    weight_of: Callable[[str], float] = _one
    shares: Mapping[Priority, ClassShare] = field(
        default_factory=lambda: shares_of(SchedulingConfig())
    )


class World:
    """Requests come in, wait in first-in first-out queues, and are started by the real policy."""

    def __init__(self, setting: Setting) -> None:
        self.now = 0.0
        self._setting = setting
        self._free = setting.slots
        self._reserver = Reserver(lambda _: None)
        window = setting.slots + setting.window_beyond_slots
        self._workers = [
            Worker(setting.shares, setting.weight_of, window, lambda: self.now)
            for _ in range(setting.workers)
        ]
        self._queues: dict[Line, deque[Request]] = defaultdict(deque)
        self._turn = 0
        self._queued: dict[Priority, Counter[str]] = {each: Counter() for each in Priority}
        self._lanes: dict[tuple[Priority, str], Lane] = {}
        self._ends: list[tuple[float, int, Worker, Request]] = []
        self._numbers = itertools.count()
        self._served = Served(_MODEL, 0)
        self._beat_at = 0.0

    def run(self, arrivals: Iterable[Request]) -> Iterator[Request]:
        """Serve `arrivals`, which are sorted by time; yield each as it ends."""
        for request in arrivals:
            yield from self._until(request.accepted_at)
            self.now = request.accepted_at
            self._accept(request)
        yield from self._until(math.inf)

    def _until(self, instant: float) -> Iterator[Request]:
        while self._ends and self._ends[0][0] <= instant:
            self.now, number, worker, request = heappop(self._ends)
            self._free += 1
            self._reserver.settle(Spent(Reservation(_BACKEND, str(number))), self.now)
            worker.end(request)
            self._refill((request.priority, request.lane))
            self._start()
            yield request

    def _accept(self, request: Request) -> None:
        counts = self._queued[request.priority]
        key = request.priority, request.tenant
        lane = next_lane(self._lanes.get(key, Lane.OPEN), counts[request.tenant])
        request.lane = self._lanes[key] = lane
        counts[request.tenant] += 1
        if self._setting.tells_eta:
            request.eta_s = self._eta_s(request)
        line = request.priority, lane
        self._queues[line].append(request)
        self._refill(line)
        self._start()

    def _refill(self, line: Line) -> None:
        """Fill the windows, one process after the other, as RabbitMQ does."""
        queue = self._queues[line]
        full = 0
        while queue and full < len(self._workers):
            worker = self._workers[self._turn % len(self._workers)]
            self._turn += 1
            if worker.has_room(line):
                worker.deliver(queue.popleft())
                full = 0
            else:
                full += 1

    def _start(self) -> None:
        """Grant free slots, each to the process that asks with the best place."""
        while self._free:
            asking = [(worker, asked) for worker in self._workers if (asked := worker.ask())]
            if not asking:
                return
            best = min(asking, key=lambda each: each[1][0])
            for worker, (_, request) in asking:
                if worker is not best[0]:
                    worker.refused(request)
            worker, (_, request) = best
            number = next(self._numbers)
            if not self._reserves(request, number):
                worker.refused(request)
                return
            self._begin(worker, request, number)

    def _reserves(self, request: Request, number: int) -> bool:
        """Tell whether the best that waits may start; if not, it is of the lowest class."""
        setting, batch = self._setting, request.priority is Priority.BATCH
        if setting.batch_slots is None:
            return True
        want = Want(
            str(number),
            _BACKEND,
            _MODEL,
            RANK[request.priority],
            request.due,
            math.inf,
            Cap(_BACKEND, setting.slots, "a slot"),
            beside_live=Cap("batch", setting.batch_slots, "a part") if batch else None,
        )
        (answer,) = self._reserver.reserve([(want, str(number))], self.now)
        return isinstance(answer, Granted)

    def _begin(self, worker: Worker, request: Request, number: int) -> None:
        self._free -= 1
        worker.start(request)
        counts = self._queued[request.priority]
        counts[request.tenant] -= 1
        if not counts[request.tenant]:
            del counts[request.tenant]
        ends_at = self.now + request.service_s
        heappush(self._ends, (ends_at, number, worker, request))

    def _eta_s(self, request: Request) -> float | None:
        """Return what its door would tell, from the last heartbeats."""
        if self.now >= self._beat_at:
            parts = [worker.serves(self._setting.slots) for worker in self._workers]
            (self._served,) = merge_served(parts)
            self._beat_at = self.now + _BEAT_S
        return outlook(
            request.priority,
            request.tenant,
            request.accepted_at,
            self._queued,
            self._served,
            self._setting.weight_of,
            self.now,
            self._setting.shares,
        ).eta_s
