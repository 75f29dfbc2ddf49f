"""How long a waiting request will still wait: a fluid model of the policy that decides it.

What goes first, by the rules of `Order` and of the lanes, is divided by the rate of starts that is
left for it. What will still come in above it is taken to come as it did of late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from broker.ports import Served
from broker.scheduling.lanes import OPEN_WINDOW, line_keys
from broker.scheduling.shares import ClassShare, shares_of
from schemas.limits import SchedulingConfig
from schemas.priority import PRIORITIES, RANK, Lane, Priority

Queued = Mapping[Priority, Mapping[str, int]]
Shares = Mapping[Priority, ClassShare]

_SHARES = shares_of(SchedulingConfig())
# With nearly all slots taken, slots are what holds the rest back.
_FULL = 0.8
_BACKLOG_S = 5.0


@dataclass(frozen=True, slots=True)
class Outlook:
    """`position` 1 is next; `eta_s` are seconds until its start; None where nobody can tell."""

    position: int | None = None
    eta_s: float | None = None
    waiting_for: str | None = None


def outlook(  # noqa: PLR0917  the door calls it with all that it knows
    priority: Priority,
    tenant: str,
    accepted_at: float,
    waiting: Queued,
    served: Served,
    weight_of: Callable[[str], float],
    now: float,
    shares: Shares = _SHARES,
) -> Outlook:
    """Return what a queued request of `tenant` can expect.

    `waiting` are the queued requests by class and tenant, this one among them. Its place inside its
    tenant is estimated from `accepted_at`.
    """
    scene = _Scene(waiting, served, now, shares)
    ahead = scene.ahead(priority, tenant, accepted_at, weight_of)
    if not served.slots:
        return Outlook(ahead.position, None, "a worker that serves its model")
    if ahead.position == 1 and served.running < served.slots:
        return Outlook(1, 0.0, "its start")
    return Outlook(ahead.position, scene.eta_s(priority, accepted_at, ahead), _in_words(ahead))


@dataclass(frozen=True, slots=True)
class _Ahead:
    """What goes first, of higher classes and of its own, for one that waits in this lane."""

    higher: int
    own: int
    lane: Lane

    @property
    def position(self) -> int:
        return self.higher + self.own + 1


@dataclass(frozen=True, slots=True)
class _Scene:
    """One model at this moment."""

    waiting: Queued
    served: Served
    now: float
    shares: Shares

    def ahead(
        self,
        priority: Priority,
        tenant: str,
        accepted_at: float,
        weight_of: Callable[[str], float],
    ) -> _Ahead:
        """Count the classes above, its tenant's earlier ones, and the turns of others until it.

        Floods wait in one queue, so of another flood all that is older goes first.
        """
        line = self.waiting.get(priority, {})
        mine = line.get(tenant, 0)
        lane = Lane.FLOOD if mine > OPEN_WINDOW else Lane.OPEN
        older = self._older(accepted_at, line_keys(priority, lane)[-1])
        earlier = max(0, mine - 1) * older
        others = 0.0
        if earlier:
            turns = earlier / weight_of(tenant)
            for name, count in line.items():
                if name == tenant:
                    continue
                if lane is Lane.FLOOD and count > OPEN_WINDOW:
                    others += count * older
                else:
                    others += min(count, turns * weight_of(name))
        higher = sum(sum(self.waiting.get(each, {}).values()) for each in _above(priority))
        return _Ahead(higher, math.floor(earlier + others), lane)

    def eta_s(self, priority: Priority, accepted_at: float, ahead: _Ahead) -> float | None:
        """Return the seconds until the starts ahead and its own have been made."""
        etas = [
            *self._eta_of_the_rest(priority, ahead),
            *self._eta_by_share(priority, accepted_at, ahead),
        ]
        return round(min(etas), 1) if etas else None

    def _eta_of_the_rest(self, priority: Priority, ahead: _Ahead) -> Iterator[float]:
        """Its line is served at the rate that the lines above it leave, or at its own of late."""
        key = line_keys(priority, ahead.lane)[-1]
        above = sum(self._coming(each) for each in _above(priority))
        if ahead.lane is Lane.FLOOD:
            above += self._rate(priority) - self._rate(key)
        rate = max(self._capacity - self._reserved_below(priority) - above, self._rate(key))
        if rate > 0:
            yield ahead.position / rate

    def _eta_by_share(
        self, priority: Priority, accepted_at: float, ahead: _Ahead
    ) -> Iterator[float]:
        """Once its class is late, its line is served at the rate of its share at least."""
        share = self.shares.get(priority)
        if share is None:
            return
        rate = share.share * self._capacity
        if rate > 0:
            head = self.served.heads.get(line_keys(priority, ahead.lane)[-1], accepted_at)
            oldest = min(head, accepted_at) if ahead.own else accepted_at
            late_in_s = max(0.0, oldest + share.target_wait_s - self.now)
            yield late_in_s + (ahead.own + 1) / rate

    @property
    def _capacity(self) -> float:
        """Starts per second while there is work: what its slots do, unless something else holds
        it back: a rate limit, or other models on the same slots."""
        served = self.served
        by_slots = served.slots / served.service_s if served.service_s else 0.0
        held_back = served.unstarted > 0 and served.running < _FULL * served.slots
        return (served.rate or by_slots) if held_back or not by_slots else by_slots

    def _rate(self, key: str) -> float:
        """Starts per second of late of a line; just after a start-up that of all is too high."""
        rate = self.served.rates.get(key, 0.0)
        return rate * min(1.0, self._capacity / self.served.rate) if rate else 0.0

    def _coming(self, priority: Priority) -> float:
        """Return at which rate more comes in to a class.

        That is how it was started of late, but one with a backlog is started at whatever rate there
        is: all of its backlog has come in since its head.
        """
        queued = sum(self.waiting.get(priority, {}).values())
        age_s = self.now - self.served.heads.get(priority, self.now)
        rate = self._rate(priority)
        backlog = queued > _BACKLOG_S * self._capacity and age_s > _BACKLOG_S
        return min(rate, queued / age_s) if backlog else rate

    def _reserved_below(self, priority: Priority) -> float:
        """Starts per second that late classes below take all the same."""
        return sum(
            min(self._rate(each), self.shares[each].share * self._capacity)
            for each in PRIORITIES[RANK[priority] + 1 :]
            if each in self.shares and self.waiting.get(each)
        )

    def _older(self, accepted_at: float, key: str) -> float:
        """Return which share of a line is older, as if it had come in evenly since its head.

        The head is when the newest of the started was accepted; what is older has left the queue.
        """
        head = self.served.heads.get(key)
        if head is None or self.now <= head:
            return 1.0
        return min(1.0, max(0.0, (accepted_at - head) / (self.now - head)))


def _above(priority: Priority) -> tuple[Priority, ...]:
    return PRIORITIES[: RANK[priority]]


def _in_words(ahead: _Ahead) -> str:
    if ahead.higher and ahead.own:
        return f"{ahead.higher} of higher priority and {ahead.own} of its own"
    if ahead.higher:
        return f"{ahead.higher} of higher priority"
    return f"{ahead.own} of its own priority" if ahead.own else "a free slot"
