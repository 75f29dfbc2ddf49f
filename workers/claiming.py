"""The claim of a delivery (PROTOCOL 3), and what becomes of one that may not run."""

from __future__ import annotations

import structlog

from broker.claims import Claim, Early, Late, Run, Running
from broker.persistence import persistently
from broker.ports import Delivery, Engine, Reservation
from schemas.envelope import Envelope
from workers.inflight import InFlight, InFlightMap
from workers.settlement import Settlement
from workers.slots import Slots

_log = structlog.get_logger("penstock.claiming")


class Claiming:
    """Claims deliveries for this process."""

    def __init__(
        self, engine: Engine, settlement: Settlement, slots: Slots, inflight: InFlightMap
    ) -> None:
        self._engine = engine
        self._settlement = settlement
        self._slots = slots
        self._inflight = inflight

    async def claim(self, delivery: Delivery, reservation: Reservation) -> Run | None:
        """Return the claim, or None once the delivery is settled and its slot given back."""
        with self._inflight.claiming(delivery.envelope.id):
            claim = await self._ask(delivery.envelope, reservation)
        if isinstance(claim, Run):
            return claim
        await self._slots.refund([reservation])
        await self._settle(delivery, claim)
        return None

    async def _ask(self, envelope: Envelope, reservation: Reservation) -> Claim:
        store = self._engine.store
        claim = await persistently(lambda: store.claim(envelope, reservation), "claim")
        if not isinstance(claim, Running) or not await self._owner_is_gone(claim, envelope.id):
            return claim
        owner = claim.owner
        _log.warning("takes over from a dead worker", request=envelope.id, owner=owner)
        return await persistently(
            lambda: store.take_over(envelope, owner, reservation), "take the request over"
        )

    async def _owner_is_gone(self, found: Running, request_id: str) -> bool:
        if found.owner == self._engine.owner:
            # Ours by name but not in our hands: its run ended between two steps of ours.
            return found.same_generation and not self._inflight.knows(request_id)
        members = self._engine.members
        age = await persistently(lambda: members.last_beat(found.owner), "look for the owner")
        return age is None

    async def _settle(self, delivery: Delivery, claim: Claim) -> None:
        match claim:
            case Late():
                await self._settlement.expire(delivery, claim)
            case Early():
                await self._settlement.park(delivery, claim)
            case Running() if (run := self._adopter(delivery, claim)) is not None:
                if not run.adopt(delivery):
                    await delivery.requeue()
            case Running():
                members = self._engine.members
                age = await persistently(lambda: members.last_beat(claim.owner), "look again")
                await self._settlement.meet_live_owner(delivery, claim, age or 0.0)
            case _:
                await self._settlement.drop_finished(delivery)

    def _adopter(self, delivery: Delivery, found: Running) -> InFlight | None:
        """Return our own run of the same generation: it settles this delivery with its others."""
        if found.owner != self._engine.owner or not found.same_generation:
            return None
        return self._inflight.get(delivery.envelope.id)
