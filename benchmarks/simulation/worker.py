"""One process of the simulated pool: its windows, and its order over what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from benchmarks.simulation.requests import Request
from broker.ports import Served
from broker.scheduling.estimate import Estimator
from broker.scheduling.order import Order
from broker.scheduling.shares import ClassShare, due_of
from schemas.priority import Lane, Priority
from workers.throughput import Throughput

Line = tuple[Priority, Lane]
_DEADLINE_S = 86_400.0


class Worker:
    """What `Pool` does in a process, with the same parts; `clock` is the virtual one."""

    def __init__(
        self,
        shares: Mapping[Priority, ClassShare],
        weight_of: Callable[[str], float],
        window: int,
        clock: Callable[[], float],
    ) -> None:
        self._shares = shares
        self._window = window
        self._clock = clock
        self._order: Order[Request] = Order(shares, weight_of)
        self._estimator = Estimator()
        self._throughput = Throughput(clock)
        self._held: Counter[Line] = Counter()
        self._running = 0

    def has_room(self, line: Line) -> bool:
        """Tell whether its window takes one more: what runs is held there too."""
        return self._held[line] < self._window

    def deliver(self, request: Request) -> None:
        """Take one into the window of its line."""
        self._held[request.priority, request.lane] += 1
        request.cost = self._estimator.cost(request.input_tokens, None)
        request.due = due_of(
            request.priority,
            request.accepted_at,
            request.accepted_at + _DEADLINE_S,
            self._estimator.service_s,
            self._shares,
        )
        self._order.add(request)

    def ask(self) -> tuple[tuple[int, float], Request] | None:
        """Take the next, and return it with the place at which it asks for a slot."""
        for request in self._order.take(1, self._clock()):
            return self._order.place(request), request
        return None

    def refused(self, request: Request) -> None:
        """Put back the one that was asked for: another process got the slot."""
        self._order.put_back([request])

    def start(self, request: Request) -> None:
        """Start the one that was asked for."""
        self._order.put_back([])
        self._running += 1
        request.started_at = self._clock()
        self._throughput.started(request.priority, request.accepted_at, request.lane)

    def end(self, request: Request) -> None:
        """End one that runs, and learn from it."""
        self._held[request.priority, request.lane] -= 1
        self._running -= 1
        self._throughput.ended()
        self._estimator.observe(request.output_tokens, request.service_s)
        self._order.correct(request.priority, request.tenant, request.tokens - request.cost)

    def serves(self, slots: int) -> Served:
        """Return what it tells with its heartbeat."""
        return Served(
            "m",
            slots,
            self._running,
            len(self._order),
            self._throughput.rate,
            dict(self._throughput.heads),
            self._throughput.rates,
            self._throughput.service_s,
            self._throughput.lately,
            self._throughput.densities,
        )
