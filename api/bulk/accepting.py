"""Many requests admitted and made durable together: what each costs by itself is paid once.

Nothing is decided otherwise than by Admission, which takes by itself what is not plain: a request
that is there already, and one that has to be prepared.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from api.admission import Admission
from api.auth import Caller
from api.backlog import Backlog
from api.catalog import Catalog
from api.intake import Intake
from broker.lifecycle import Tasks
from broker.ports import Engine
from broker.telemetry import ACCEPTED
from schemas.envelope import Envelope
from schemas.errors import EngineError, RequestError
from schemas.ids import derived_request_id, new_request_ids
from schemas.large import LARGE_BYTES
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from schemas.responses.told import ENDPOINT as RESPONSES


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request that is durable; `replayed` if it was so before this submission."""

    id: str
    status: Status
    replayed: bool = False


Outcome: TypeAlias = Accepted | RequestError | EngineError


class _Group:
    """One call: what was asked, under which ids, and what has become of each so far."""

    def __init__(self, intakes: Sequence[Intake], caller: Caller, ids: Sequence[str]) -> None:
        self.intakes = intakes
        self.caller = caller
        self.ids = ids
        self.outcomes: dict[int, Outcome] = {}
        # The places of what Admission takes by itself.
        self.apart: set[int] = set()


class Accepting:
    """Takes many requests of one caller at once, none of them held."""

    def __init__(
        self,
        engine: Engine,
        admission: Admission,
        catalog: Catalog,
        backlog: Backlog,
        namespace: str,
    ) -> None:
        self._store = engine.store
        self._admission = admission
        self._catalog = catalog
        self._backlog = backlog
        self._namespace = namespace
        self._tasks = Tasks("bulk")

    async def accept(self, intakes: Sequence[Intake], caller: Caller) -> list[Outcome]:
        """Return for each, in order, what it was accepted as, or why it was not.

        A caller that is cancelled meanwhile does not stop what has begun.
        """
        if not intakes:
            return []
        return await self._tasks.finish("accept", self._accept(intakes, caller))

    async def stop(self) -> None:
        """Wait for what has begun."""
        await self._tasks.join()

    async def _accept(self, intakes: Sequence[Intake], caller: Caller) -> list[Outcome]:
        group = _Group(intakes, caller, self._ids(intakes, caller))
        try:
            group.apart |= await self._known(group)
            if envelopes := await self._admitted(group):
                await self._make(group, envelopes)
        except EngineError as error:
            group.outcomes |= {
                place: error
                for place in range(len(intakes))
                if place not in group.outcomes and place not in group.apart
            }
        await asyncio.gather(*(self._take_apart(group, place) for place in group.apart))
        return [group.outcomes[place] for place in range(len(intakes))]

    def _ids(self, intakes: Sequence[Intake], caller: Caller) -> list[str]:
        fresh = iter(new_request_ids(sum(intake.terms.key is None for intake in intakes)))
        return [
            next(fresh) if key is None else derived_request_id(self._namespace, caller.tenant, key)
            for key in (intake.terms.key for intake in intakes)
        ]

    async def _known(self, group: _Group) -> set[int]:
        """Return the places of those that are there already, must be prepared, or are large."""
        keyed = [place for place, intake in enumerate(group.intakes) if intake.terms.key]
        apart = {
            place
            for place, intake in enumerate(group.intakes)
            if intake.endpoint == RESPONSES or len(intake.body) > LARGE_BYTES
        }
        if keyed:
            known = await self._store.statuses([group.ids[place] for place in keyed])
            apart |= {place for place in keyed if group.ids[place] in known}
        return apart

    async def _admitted(self, group: _Group) -> dict[int, Envelope]:
        """Return the envelopes of those that may be made durable, by their places."""
        alike: dict[tuple[str, Priority], list[int]] = defaultdict(list)
        for place, intake in enumerate(group.intakes):
            if place not in group.apart:
                alike[intake.model, intake.terms.priority].append(place)
        found: dict[int, Envelope] = {}
        for (asked, priority), places in alike.items():
            try:
                model = self._catalog.find(asked, group.caller)
                self._catalog.check_accepting(model)
            except RequestError as error:
                group.outcomes |= dict.fromkeys(places, error)
                continue
            deadlines = [group.intakes[place].terms.deadline for place in places]
            lanes = await self._backlog.admit_all(model, group.caller, priority, deadlines)
            for place, lane in zip(places, lanes, strict=True):
                if isinstance(lane, Lane):
                    found[place] = group.intakes[place].envelope(
                        group.ids[place], group.caller, model, None, 0, lane
                    )
                else:
                    group.outcomes[place] = lane
        return found

    async def _make(self, group: _Group, envelopes: dict[int, Envelope]) -> None:
        # In the order of the lines, whatever their models.
        places = sorted(envelopes)
        made = await self._admission.durable.make_all([envelopes[place] for place in places])
        counted: Counter[tuple[str, Priority]] = Counter()
        for place, outcome in zip(places, made, strict=True):
            if outcome is True:
                group.outcomes[place] = Accepted(group.ids[place], Status.QUEUED)
                counted[envelopes[place].model, envelopes[place].priority] += 1
            elif outcome is False:
                group.apart.add(place)
            else:
                group.outcomes[place] = outcome
        for (model, priority), count in counted.items():
            ACCEPTED.labels(model, priority).inc(count)

    async def _take_apart(self, group: _Group, place: int) -> None:
        try:
            admitted = await self._admission.accept_begun(group.intakes[place], group.caller)
        except (RequestError, EngineError) as error:
            group.outcomes[place] = error
            return
        record = admitted.record
        group.outcomes[place] = Accepted(record.id, record.status, admitted.replayed)
