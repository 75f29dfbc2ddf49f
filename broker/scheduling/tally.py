"""How many requests of one model are queued by now, as a door knows it between two counts.

Pure: the door counts now and then, and says what it has accepted since. A tenant whose requests
start as fast as they come in must not look like a flood at the end of each second, so what goes
elsewhere is taken to go on as it did between the last two counts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from broker.scheduling.lanes import next_lane
from schemas.priority import Lane, Priority

Place = tuple[Priority, str]
# With no new count for so long, what went elsewhere is not taken to go on.
_DRIFT_S = 3.0


class Tally:
    """The queued requests of one model by class and tenant, and who of them floods.

    `queued` and `total` are the last count and all that was added here since. Instants are those
    of one clock, in seconds.
    """

    def __init__(self) -> None:
        self.queued: dict[Priority, dict[str, int]] = {}
        self.total = 0
        self._counted_at: float | None = None
        self._added: Counter[Place] = Counter()
        self._drift: dict[Place, float] = {}
        self._floods: set[Place] = set()

    def added(self) -> Counter[Place]:
        """Return what was added since the last count; to be kept for the count that begins."""
        return self._added.copy()

    def count(
        self, counts: Mapping[Priority, Mapping[str, int]], added: Counter[Place], now: float
    ) -> None:
        """Take a count; `added` is what `added()` said when it began.

        What was added while it was made may be in it already, or not.
        """
        fresh = {priority: dict(tenants) for priority, tenants in counts.items()}
        since = self._added - added
        self._drift = self._drift_to(fresh, added, now)
        self._floods = {
            place
            for place in self._floods
            if next_lane(Lane.FLOOD, _at(fresh, place)) is Lane.FLOOD
        }
        self.queued, self._added, self._counted_at = fresh, Counter(), now
        self.total = sum(sum(tenants.values()) for tenants in fresh.values())
        for place, count in since.items():
            self._add(place, count)

    def age_s(self, now: float) -> float:
        """Return how old the last count is."""
        return math.inf if self._counted_at is None else now - self._counted_at

    def begins_to_flood(self, priority: Priority, tenant: str, now: float) -> bool:
        """Tell whether one more request would be the first of a flood: worth a new count."""
        place = (priority, tenant)
        return place not in self._floods and self._lane(place, now) is Lane.FLOOD

    def add(self, priority: Priority, tenant: str, now: float) -> Lane:
        """Count one more request and return the lane where it waits."""
        place = (priority, tenant)
        lane = self._lane(place, now)
        if lane is Lane.FLOOD:
            self._floods.add(place)
        else:
            self._floods.discard(place)
        self._add(place, 1)
        return lane

    def _lane(self, place: Place, now: float) -> Lane:
        last = Lane.FLOOD if place in self._floods else Lane.OPEN
        return next_lane(last, self._estimate(place, now))

    def _estimate(self, place: Place, now: float) -> int:
        drift = self._drift.get(place, 0.0) * min(self.age_s(now), _DRIFT_S)
        return max(0, round(_at(self.queued, place) + drift))

    def _drift_to(
        self, fresh: dict[Priority, dict[str, int]], added: Counter[Place], now: float
    ) -> dict[Place, float]:
        """Return by how many a second each place has changed beside what was added here."""
        if self._counted_at is None or now <= self._counted_at:
            return {}
        since_s = now - self._counted_at
        return {place: self._change(place, fresh, added) / since_s for place in added}

    def _change(
        self, place: Place, fresh: dict[Priority, dict[str, int]], added: Counter[Place]
    ) -> int:
        while_counting = self._added[place] - added[place]
        return _at(fresh, place) - (_at(self.queued, place) - while_counting)

    def _add(self, place: Place, count: int) -> None:
        priority, tenant = place
        tenants = self.queued.setdefault(priority, {})
        tenants[tenant] = tenants.get(tenant, 0) + count
        self._added[place] += count
        self.total += count


def _at(queued: Mapping[Priority, Mapping[str, int]], place: Place) -> int:
    priority, tenant = place
    return queued.get(priority, {}).get(tenant, 0)
