"""May this request start, and if not: when? The whole rule of `Limits.reserve`, in memory.

The embedded engine counts with it; the scripts in `broker/redis_store` do the same in Redis. Pure:
the clock is passed in, and those who may try again are told through `tell`.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from broker.ports.limits import (
    LIVE_S,
    Answer,
    Cap,
    Granted,
    Rate,
    Reservation,
    Spent,
    StartAt,
    TooLate,
    Wait,
    Want,
)
from broker.scheduling.places import Line, Places, Score
from broker.scheduling.rates import GRAIN_S, Bucket, charge, give_back, opens
from broker.scheduling.turns import CapTurns, RateTurns

HONOURED_S = 30.0
_LEAST_S = 0.001


@dataclass(frozen=True, slots=True)
class _Held:
    """What a reservation took, and when."""

    request_id: str
    caps: tuple[str, ...]
    rates: tuple[Rate, ...]
    at: float


@dataclass(slots=True)
class _Booking:
    """A request that was told to come at `at`, and the keys it has turns under."""

    rank: int
    at: float = float("inf")
    rates: set[str] = field(default_factory=set)
    caps: set[str] = field(default_factory=set)


class Reserver:
    """All reservations and bookings of one process. `tell` gets lines that were granted a place."""

    def __init__(self, tell: Callable[[Line], None]) -> None:
        self._places: defaultdict[str, Places] = defaultdict(lambda: Places(tell))
        self._buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
        self._rate_turns: defaultdict[str, RateTurns] = defaultdict(RateTurns)
        self._cap_turns: defaultdict[str, CapTurns] = defaultdict(CapTurns)
        self._held: dict[str, _Held] = {}
        # When a backend last started something that has to leave nothing to others.
        self._live_at: dict[str, float] = {}
        self._booked: dict[str, _Booking] = {}
        self._lapses: list[tuple[float, str]] = []

    def reserve(self, wants: Sequence[tuple[Want, str]], now: float) -> list[Answer]:
        """Answer each want, in order; all are of one backend and model."""
        self._lapse(now)
        full: dict[str, Score] = {}
        shut: dict[str, float] = {}
        answers = [self._answer(want, each, full, shut, now) for want, each in wants]
        for want, _ in wants[:1]:
            for key in {cap.key for each, _ in wants for cap in self._waited_caps(each, now)}:
                self._places[key].wait((want.backend, want.model), full.get(key))
        return answers

    def refund(self, reservation_id: str, now: float) -> None:
        """Undo a reservation."""
        if (held := self._leave(reservation_id, now, used=False)) is not None:
            for rate in held.rates:
                give_back(self._buckets[rate.key], rate.per_minute, rate.cost, held.at)

    def settle(self, spent: Spent, now: float) -> None:
        """End a reservation; its tokens replace the estimate."""
        held = self._leave(spent.reservation.id, now, used=True)
        if held is None or spent.tokens is None:
            return
        for rate in held.rates:
            if rate.counts == "tokens":
                self._true_up(rate, spent.tokens, held.at, now)

    def give_up(self, request_ids: Iterable[str]) -> None:
        """Drop bookings."""
        for request_id in request_ids:
            self._unbook(request_id)

    def peek(self, own: Sequence[Cap | Rate], rank: int, now: float) -> float:
        """Return when a new request of this class could start."""
        return max((self._opens(limit, rank, "", now) for limit in own), default=now)

    def held(self, key: str) -> int:
        """Return how many are held under a cap."""
        return len(self._places[key].holders) if key in self._places else 0

    def _answer(
        self,
        want: Want,
        reservation_id: str,
        full: dict[str, Score],
        shut: dict[str, float],
        now: float,
    ) -> Answer:
        reservation = Reservation(want.backend, reservation_id)
        if reservation_id in self._held:
            return Granted(reservation)
        if (later := self._turn(want, now)) is not None:
            return later
        for limit in want.shared:
            if isinstance(limit, Rate):
                at = shut.get(limit.key)
                at = at or self._opens(limit, want.rank, want.request_id, now)
                if at > now + GRAIN_S:
                    # Nor may those behind it take what it waits for.
                    shut[limit.key] = at
                    return Wait(limit.what, at)
        for cap in self._waited_caps(want, now):
            if not self._admits(cap, want, now):
                full[cap.key] = min(full.get(cap.key, want.score), want.score)
                return Wait(cap.what)
        self._take(want, reservation_id, now)
        return Granted(reservation)

    def _turn(self, want: Want, now: float) -> StartAt | TooLate | None:
        """Book what its own limits hold back; None where they let it go now."""
        times = [(self._opens(each, want.rank, want.request_id, now), each) for each in want.own]
        at, last = max(times, key=lambda pair: pair[0], default=(now, None))
        if last is None or at <= now + GRAIN_S:
            if (booking := self._booked.get(want.request_id)) is not None:
                self._tell_turn(want.request_id, booking, now)
            return None
        if at > want.deadline:
            self._unbook(want.request_id)
            return TooLate(at, last.what)
        self._book(want, at, [each for when, each in times if when > now + GRAIN_S])
        return StartAt(at, last.what, isinstance(last, Cap))

    def _opens(self, limit: Cap | Rate, rank: int, request_id: str, now: float) -> float:
        if isinstance(limit, Rate):
            # Nothing is booked under a shared one.
            ahead = self._rate_turns[limit.key].ahead(rank, request_id)
            full_at = self._buckets[limit.key].full_at
            return opens(full_at, limit.per_minute, limit.cost, ahead, now)
        places, turns = self._places[limit.key], self._cap_turns[limit.key]
        room = limit.limit - len(places.holders)
        if turns.due_ahead(rank, request_id, now) < room:
            return now
        turn = max(1, turns.ahead(rank, request_id) + 1 - max(room, 0))
        # Never now: what is full is not free, however short it is held.
        return now + max(_LEAST_S, turn * places.hold_s / limit.limit)

    def _admits(self, cap: Cap, want: Want, now: float) -> bool:
        places = self._places[cap.key]
        places.limit = cap.limit
        return places.admits((want.backend, want.model), want.score, now)

    def _waited_caps(self, want: Want, now: float) -> list[Cap]:
        caps = [each for each in want.shared if isinstance(each, Cap)]
        live_at = self._live_at.get(want.backend)
        if want.beside_live is not None and live_at is not None and now < live_at + LIVE_S:
            caps.append(want.beside_live)
        return [*caps, want.slot]

    def _book(self, want: Want, at: float, blocking: Sequence[Cap | Rate]) -> None:
        booking = self._booked.get(want.request_id)
        if booking is None:
            booking = self._booked[want.request_id] = _Booking(want.rank)
        self._tell_turn(want.request_id, booking, at)
        for limit in blocking:
            if isinstance(limit, Rate):
                booking.rates.add(limit.key)
                self._rate_turns[limit.key].book(booking.rank, want.request_id, limit.cost)
            else:
                booking.caps.add(limit.key)
        for key in booking.caps:
            self._cap_turns[key].book(booking.rank, want.request_id, at)

    def _tell_turn(self, request_id: str, booking: _Booking, at: float) -> None:
        """Note when it is to come; one that moves farther is looked at again at its first time."""
        if at < booking.at:
            heapq.heappush(self._lapses, (at + HONOURED_S, request_id))
        booking.at = at

    def _unbook(self, request_id: str) -> None:
        booking = self._booked.pop(request_id, None)
        if booking is not None:
            for key in booking.rates:
                self._rate_turns[key].drop(booking.rank, request_id)
            for key in booking.caps:
                self._cap_turns[key].drop(booking.rank, request_id)

    def _lapse(self, now: float) -> None:
        """Drop the bookings nobody came for."""
        while self._lapses and self._lapses[0][0] < now:
            _, request_id = heapq.heappop(self._lapses)
            booking = self._booked.get(request_id)
            if booking is not None and booking.at + HONOURED_S < now:
                self._unbook(request_id)
            elif booking is not None:
                heapq.heappush(self._lapses, (booking.at + HONOURED_S, request_id))

    def _take(self, want: Want, reservation_id: str, now: float) -> None:
        self._unbook(want.request_id)
        limits = [*want.own, *want.shared, want.slot]
        if want.beside_live is None:
            self._live_at[want.backend] = now
        else:
            limits.append(want.beside_live)
        rates = tuple(each for each in limits if isinstance(each, Rate))
        caps = tuple(each.key for each in limits if isinstance(each, Cap))
        for rate in rates:
            charge(self._buckets[rate.key], rate.per_minute, rate.cost, now)
        for key in caps:
            self._places[key].take((want.backend, want.model), reservation_id, now)
        self._held[reservation_id] = _Held(want.request_id, caps, rates, now)

    def _leave(self, reservation_id: str, now: float, *, used: bool) -> _Held | None:
        held = self._held.pop(reservation_id, None)
        if held is not None:
            for key in held.caps:
                self._places[key].leave(reservation_id, now, used=used)
        return held

    def _true_up(self, rate: Rate, tokens: int, charged_at: float, now: float) -> None:
        bucket = self._buckets[rate.key]
        if tokens > rate.cost:
            charge(bucket, rate.per_minute, tokens - rate.cost, now)
        else:
            give_back(bucket, rate.per_minute, rate.cost - tokens, charged_at)
