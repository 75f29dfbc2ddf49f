"""How long a waiting request will still wait: a fluid model of the policy that decides it.

What goes first, by the rules of `Order` and of the lanes, is divided by the rate of starts that is
left for it. Above it as much is taken to come in in the next seconds as came in in the last, be
they ten or a thousand: nobody knows more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from broker.ports import Served
from broker.ports.members import HORIZONS_S
from broker.scheduling.lanes import OPEN_WINDOW, line_keys
from broker.scheduling.shares import ClassShare, shares_of
from schemas.limits import SchedulingConfig
from schemas.priority import PRIORITIES, RANK, Lane, Priority

Queued = Mapping[Priority, Mapping[str, int]]
Shares = Mapping[Priority, ClassShare]

_SHARES = shares_of(SchedulingConfig())
# With nearly all slots taken, slots are what holds the rest back.
_FULL = 0.8
# A head is told by a heartbeat, so it is some seconds old even where nothing waits.
_FRESH_S = 5.0


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
        older = self._older(accepted_at, priority, lane)
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
        eta_s = min(etas, default=math.inf)
        return round(eta_s, 1) if eta_s < math.inf else None

    def _eta_of_the_rest(self, priority: Priority, ahead: _Ahead) -> Iterator[float]:
        """Its line is served at the rate that the lines above it leave, or at its own of late."""
        rate = self._capacity - self._reserved_below(priority)
        if rate <= 0:
            return
        coming = [self._coming(each, Lane.OPEN) for each in _above(priority)]
        coming += [self._coming(each, Lane.FLOOD) for each in _above(priority)]
        if ahead.lane is Lane.FLOOD:
            coming.append(self._coming(priority, Lane.OPEN))
        etas = [_time_for(ahead.position, rate, coming)]
        own_rate = self._rate(line_keys(priority, ahead.lane)[1])
        if own_rate:
            etas.append(ahead.position / own_rate)
        yield min(etas)

    def _eta_by_share(
        self, priority: Priority, accepted_at: float, ahead: _Ahead
    ) -> Iterator[float]:
        """Once its class is late, its line is served at the rate of its share at least."""
        share = self.shares.get(priority)
        if share is None:
            return
        rate = share.share * self._capacity
        if rate > 0:
            head = self.served.heads.get(line_keys(priority, ahead.lane)[1], accepted_at)
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

    def _coming(self, priority: Priority, lane: Lane) -> Sequence[float]:
        """Return what comes in to a line within each horizon: what was started of it lately.

        A backlog is started at whatever rate there is, but all of it has come in since its head.
        """
        key = line_keys(priority, lane)[1]
        lately = self.served.lately.get(key, ())
        age_s = self.now - self.served.heads.get(key, self.now)
        if not lately or age_s <= _FRESH_S:
            return lately
        most = self._queued(priority, lane) / age_s
        return [min(count, most * each) for count, each in zip(lately, HORIZONS_S, strict=False)]

    def _queued(self, priority: Priority, lane: Lane) -> int:
        counts = self.waiting.get(priority, {}).values()
        flood = lane is Lane.FLOOD
        return sum(count for count in counts if (count > OPEN_WINDOW) is flood)

    def _reserved_below(self, priority: Priority) -> float:
        """Starts per second that late classes below take all the same."""
        return sum(
            min(self._rate(each), self.shares[each].share * self._capacity)
            for each in PRIORITIES[RANK[priority] + 1 :]
            if each in self.shares and self.waiting.get(each)
        )

    def _older(self, accepted_at: float, priority: Priority, lane: Lane) -> float:
        """Return which share of a lane is older than one that was accepted then.

        What is older than the head has left it. From there it has come in evenly until now, or as
        densely as at the head and then no more, whichever makes more of it older.
        """
        key = line_keys(priority, lane)[1]
        head, density = self.served.heads.get(key), self.served.densities.get(key)
        if head is None or density is None or self.now <= head:
            return 1.0
        since_head_s = max(0.0, accepted_at - head)
        evenly = since_head_s / (self.now - head)
        densely = density * since_head_s / max(1, self._queued(priority, lane))
        return min(1.0, max(evenly, densely))


def _time_for(starts: float, rate: float, coming: Sequence[Sequence[float]]) -> float:
    """Return when so many starts are made at `rate`, and those of all that comes in until then.

    In seconds; infinity where more comes in than can be started. Between the horizons it comes in
    evenly, after the last as it does on average.
    """
    until_s, left = 0.0, starts
    totals = [sum(counts) for counts in zip_longest(*coming, fillvalue=0.0)]
    for horizon_s, total in zip(HORIZONS_S, totals, strict=False):
        still_left = starts + total - rate * horizon_s
        if still_left <= 0:
            return until_s + (horizon_s - until_s) * left / (left - still_left)
        until_s, left = horizon_s, still_left
    rate -= totals[-1] / until_s if totals else 0.0
    return until_s + left / rate if rate > 0 else math.inf


def _above(priority: Priority) -> tuple[Priority, ...]:
    return PRIORITIES[: RANK[priority]]


def _in_words(ahead: _Ahead) -> str:
    if ahead.higher and ahead.own:
        return f"{ahead.higher} of higher priority and {ahead.own} of its own"
    if ahead.higher:
        return f"{ahead.higher} of higher priority"
    return f"{ahead.own} of its own priority" if ahead.own else "a free slot"
