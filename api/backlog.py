"""What waits, as it was at most a second or two ago: for the caps, the lanes and the outlook."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence

from api.auth import Caller
from api.catalog import Catalog
from api.following import Following
from api.own_limits import LimitTurn, OwnLimits
from broker.ports import Engine
from broker.scheduling.outlook import Outlook, outlook
from broker.scheduling.shares import shares_of
from broker.scheduling.tally import Place, Tally
from schemas.config import Config
from schemas.errors import EngineError, RequestError
from schemas.instants import in_words
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from schemas.record import Record

# An ETA is an estimate: only one that is this much too late is refused for it.
_SURE_FACTOR, _SURE_S = 1.5, 5.0
# A limit's arithmetic is not, but for what is booked meanwhile.
_CLOSE_S = 1.0
_LONGEST_RETRY_AFTER_S = 3_600
# Where a flood seems to begin, a count is made at most as often.
_RECOUNT_S = 0.1


class _Queue:
    """What waits for one model."""

    def __init__(self, engine: Engine, model: str) -> None:
        self._store = engine.store
        self.model = model
        self.tally = Tally()
        # By class and tenant, as of the last count.
        self.etas: dict[Place, float | None] = {}
        self._recounting = False

    async def add(self, priority: Priority, tenant: str) -> Lane:
        """Count one more request and return its lane; where a flood begins it is counted anew."""
        now = time.monotonic()
        if self.is_old(priority, tenant, now):
            await self._recount()
            now = time.monotonic()
        return self.tally.add(priority, tenant, now)

    def is_old(self, priority: Priority, tenant: str, now: float) -> bool:
        """Tell whether a flood seems to begin, by a count that is not fresh."""
        tally = self.tally
        return tally.age_s(now) > _RECOUNT_S and tally.begins_to_flood(priority, tenant, now)

    async def _recount(self) -> None:
        if self._recounting:
            return
        self._recounting = True
        try:
            with contextlib.suppress(EngineError):
                await self.look()
        finally:
            self._recounting = False

    async def look(self) -> None:
        """Count once."""
        added = self.tally.added()
        counts = await self._store.waiting(self.model)
        self.tally.count(counts, added, time.monotonic())
        self.etas.clear()


class _Opened:
    """The open requests of a tenant with a cap: as last counted, and what was added here since."""

    def __init__(self, engine: Engine, tenant: str) -> None:
        self._store = engine.store
        self._tenant = tenant
        self.open = 0
        self.added = 0

    async def look(self) -> None:
        """Count once."""
        added = self.added
        self.open = await self._store.open_count(self._tenant)
        # What was added while this looked may be in the count already, or not.
        self.added -= added


class Backlog:
    """Admits to the queues by their caps, tells the lane, and what a request can expect.

    The caps are kept to about what comes in within a second over all api processes.
    """

    def __init__(self, engine: Engine, catalog: Catalog, config: Config) -> None:
        self._catalog = catalog
        self._own = OwnLimits(engine.limits, config)
        self._queues = Following[_Queue](lambda model: _Queue(engine, model))
        self._tenants = Following[_Opened](lambda tenant: _Opened(engine, tenant))
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take the caps and weights of `config`."""
        self._own.apply(config)
        self._cap = config.server.max_queued
        tenants = config.tenants
        self._tenant_caps = {
            name: tenant.max_queued
            for name, tenant in tenants.items()
            if tenant.max_queued is not None
        }
        weights = {name: tenant.weight for name, tenant in tenants.items()}
        self._shares = shares_of(config.scheduling)
        self._weight_of: Callable[[str], float] = lambda tenant: weights.get(tenant, 1.0)

    async def run(self) -> None:
        """Keep what is known fresh, until cancelled."""
        # Apart, so that counts of one kind that fail leave none of the other wrong.
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queues.run())
            group.create_task(self._tenants.run())

    async def admit(self, model: str, caller: Caller, priority: Priority, deadline: float) -> Lane:
        """Count one more request and return its lane.

        Raises RequestError `queue_full`, `tenant_queue_full` or `deadline_unreachable`.
        """
        queue, opened = await self._known(model, caller.tenant)
        return await self._admit(queue, opened, caller, priority, deadline)

    async def admit_all(
        self, model: str, caller: Caller, priority: Priority, deadlines: Sequence[float]
    ) -> list[Lane | RequestError]:
        """Count many more requests in their order; return for each what `admit` does or raises."""
        queue, opened = await self._known(model, caller.tenant)
        unlimited = self._own.none(caller.tenant, caller.key_id)
        told: list[Lane | RequestError] = []
        for deadline in deadlines:
            try:
                told.append(
                    (unlimited and self._admit_plainly(queue, opened, caller, priority, deadline))
                    or await self._admit(queue, opened, caller, priority, deadline)
                )
            except RequestError as error:
                told.append(error)
        return told

    async def lane_of(self, model: str, tenant: str, priority: Priority) -> Lane:
        """Count one more request that no cap refuses, and return its lane."""
        queue = await self._queues.get(model)
        return await queue.add(priority, tenant)

    async def outlook(self, record: Record) -> Outlook:
        """Return what a request can expect; nothing to tell unless it is queued."""
        if record.status is not Status.QUEUED:
            return Outlook()
        now = time.time()
        if record.not_before is not None and record.not_before > now:
            return _of_parked(record, record.not_before, now)
        queue = await self._queues.get(record.model)
        expected = self._outlook(queue, record.priority, record.tenant, record.accepted_at, now)
        if (held_up := self._catalog.held_up(record.model)) is not None:
            return Outlook(expected.position, None, held_up)
        own = await self._own_turn(queue, record.tenant, None, record.priority)
        served = self._catalog.served(record.model)
        shared = LimitTurn(served.closed_until - now, served.closed_by)
        longest = shared if own is None or shared.wait_s > own.wait_s else own
        if longest.wait_s <= (expected.eta_s or 0.0):
            return expected
        wait_s = round(longest.wait_s, 1)
        return Outlook(expected.position, wait_s, f"{longest.what} until {in_words(now + wait_s)}")

    def _outlook(
        self, queue: _Queue, priority: Priority, tenant: str, accepted_at: float, now: float
    ) -> Outlook:
        served = self._catalog.served(queue.model)
        waiting = queue.tally.queued
        return outlook(
            priority, tenant, accepted_at, waiting, served, self._weight_of, now, self._shares
        )

    async def _own_turn(
        self, queue: _Queue, tenant: str, key_id: str | None, priority: Priority
    ) -> LimitTurn | None:
        """Return when the caller's own limits let one more start; None too if nobody can tell."""
        queued = queue.tally.queued.get(priority, {}).get(tenant, 0)
        with contextlib.suppress(EngineError):
            return await self._own.turn(tenant, key_id, priority, queued)
        return None

    async def _known(self, model: str, tenant: str) -> tuple[_Queue, _Opened | None]:
        """Return what waits for the model, and what is open of the tenant if that is capped."""
        queue = await self._queues.get(model)
        if tenant not in self._tenant_caps:
            return queue, None
        return queue, await self._tenants.get(tenant)

    async def _admit(
        self,
        queue: _Queue,
        opened: _Opened | None,
        caller: Caller,
        priority: Priority,
        deadline: float,
    ) -> Lane:
        self._check_caps(queue, opened, caller)
        await self._check_deadline(queue, caller, priority, deadline)
        if opened is not None:
            opened.added += 1
        return await queue.add(priority, caller.tenant)

    def _admit_plainly(
        self,
        queue: _Queue,
        opened: _Opened | None,
        caller: Caller,
        priority: Priority,
        deadline: float,
    ) -> Lane | None:
        """Do what `_admit` does for a caller without limits; None where it must look closer."""
        self._check_caps(queue, opened, caller)
        left_s = deadline - time.time()
        if left_s < 0 or self._eta_s(queue, caller, priority) > _SURE_FACTOR * left_s + _SURE_S:
            return None
        now = time.monotonic()
        if queue.is_old(priority, caller.tenant, now):
            return None
        if opened is not None:
            opened.added += 1
        return queue.tally.add(priority, caller.tenant, now)

    def _check_caps(self, queue: _Queue, opened: _Opened | None, caller: Caller) -> None:
        if queue.tally.total >= self._cap:
            raise RequestError("queue_full", f"{self._cap} requests wait for this model already.")
        cap = self._tenant_caps.get(caller.tenant, math.inf)
        if opened is not None and opened.open + opened.added >= cap:
            raise RequestError(
                "tenant_queue_full", f"{cap} of your requests are open, which is your limit."
            )

    async def _check_deadline(
        self, queue: _Queue, caller: Caller, priority: Priority, deadline: float
    ) -> None:
        left_s = deadline - time.time()
        own = await self._own_turn(queue, caller.tenant, caller.key_id, priority)
        own_s = own.wait_s if own is not None else 0.0
        queue_s = self._eta_s(queue, caller, priority)
        if own_s <= left_s + _CLOSE_S and queue_s <= _SURE_FACTOR * left_s + _SURE_S:
            return
        eta_s = max(own_s, queue_s)
        too_late_s = min(math.ceil(eta_s - left_s), _LONGEST_RETRY_AFTER_S)
        raise RequestError(
            "deadline_unreachable",
            f"Its turn would come in about {eta_s:.0f} s; its deadline is in {left_s:.0f} s.",
            retry_after_s=too_late_s,
        )

    def _eta_s(self, queue: _Queue, caller: Caller, priority: Priority) -> float:
        """Return when the queue lets one more start, in seconds; 0 where nobody can tell.

        Before the first call has ended nobody can: a few starts say nothing of how long calls last.
        """
        served = self._catalog.served(queue.model)
        if served.service_s is None or queue.tally.total <= served.slots:
            return 0.0
        now, place = time.time(), (priority, caller.tenant)
        if place not in queue.etas:
            queue.etas[place] = self._outlook(queue, priority, caller.tenant, now, now).eta_s
        return queue.etas[place] or 0.0


def _of_parked(record: Record, not_before: float, now: float) -> Outlook:
    wait_s = round(not_before - now, 1)
    if record.parked_for is None:
        what = "its next attempt" if record.attempt else "its time"
        return Outlook(None, wait_s, f"{what}, in {wait_s:g} s")
    return Outlook(None, wait_s, f"{record.parked_for} until {in_words(math.ceil(not_before))}")
