"""What may run and start, counted over all processes (PROTOCOL 3, reserve)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

# So long after a start of a higher class a backend counts as one that serves live requests.
LIVE_S = 60.0


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a started request holds, under an id minted by the reserver: `instance:epoch:n`."""

    backend: str
    id: str


@dataclass(frozen=True, slots=True)
class Cap:
    """How many may run at once under `key`; that of a backend's slots is the backend's name."""

    key: str
    limit: int
    what: str


@dataclass(frozen=True, slots=True)
class Rate:
    """How much may start in a minute under `key`, and the `cost` of this request."""

    key: str
    per_minute: float
    cost: float
    what: str
    counts: Literal["requests", "tokens"]


@dataclass(frozen=True, slots=True)
class Want:
    """What a request needs to start. Instants are Unix seconds; `rank` 0 is `high`.

    `slot` is waited for and granted in the order of `score` over all processes: by rank, or by that
    of the one it `overtakes` because its class is owed a start, then by `due`; `model` names the
    pool of the process that waits. The `own` limits of the caller, the key's before the
    tenant's, are booked ahead; the `shared` ones of the model and the backend are waited for only:
    a flood of one tenant would book the future of all.

    `beside_live` is for the lowest class, whose wants all have it: how many of them may hold slots
    while a higher class has started anything on the backend within `LIVE_S`. Held they are all
    the time, so that it is exact from the first live request on.
    """

    request_id: str
    backend: str
    model: str
    rank: int
    due: float
    deadline: float
    slot: Cap
    own: tuple[Cap | Rate, ...] = ()
    shared: tuple[Cap | Rate, ...] = ()
    overtakes: int | None = None
    beside_live: Cap | None = None

    @property
    def score(self) -> tuple[int, float]:
        """Its place in the order of grants: the least goes first."""
        return self.rank if self.overtakes is None else self.overtakes, self.due


@dataclass(frozen=True, slots=True)
class Granted:
    """It may start now."""

    reservation: Reservation


@dataclass(frozen=True, slots=True)
class StartAt:
    """Its turn under `what` is booked for then, and honoured until 30 s later.

    An `estimated` one depends on when others end: it may ask again at any time before.
    """

    at: float
    what: str
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is charged or booked: ask again when woken, at `until`, or after 1 s at most."""

    what: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class TooLate:
    """Its turn under `what` would come after its deadline; nothing stays booked."""

    at: float
    what: str


Answer: TypeAlias = Granted | StartAt | Wait | TooLate


@dataclass(frozen=True, slots=True)
class Spent:
    """A reservation whose call has ended; `tokens` None keeps the estimate."""

    reservation: Reservation
    tokens: int | None = None


class Limits(Protocol):
    """Exact limits over all processes; what is held is leased for 8 s, rates are not.

    Caps hold back what is above them. Rates are buckets of one minute that refill: what has started
    in t seconds is never more than one minute's worth and that of t.
    """

    async def reserve(self, wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        """Answer each of `wants`, all of one backend and model, in order: the best come first.

        With each goes the id of the reservation it would get; asking again under an id that is
        held grants it again. A request that is booked keeps its turn when it asks again.
        """

    async def refund(self, reservations: Iterable[Reservation]) -> None:
        """Take back reservations without a call: as though they had never been made."""

    async def settle(self, spent: Iterable[Spent]) -> None:
        """Free what ended calls held, and correct what they cost; unknown ids are ignored."""

    async def renew(self, reservations: Iterable[Reservation]) -> list[Reservation]:
        """Assert that these are still held, every 2 s; return those that are lost.

        One is lost when its lease has run out and its room is taken. Its call must end.
        """

    async def give_up(self, request_ids: Iterable[str]) -> None:
        """Drop the bookings of requests that will not come for them."""

    async def orphans(self, limit: int) -> list[tuple[Reservation, str]]:
        """Return about `limit` reservations without a lease, each with its request's id.

        What they were charged stays until somebody settles or refunds them. Every call looks at a
        further part of what there is.
        """

    async def peek(self, own: Sequence[Cap | Rate], rank: int) -> float:
        """Return when a new request with these limits could start; nothing is booked."""

    async def held(self, key: str) -> int:
        """Return how many are held under the key of a cap."""

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a slot of `backend` may have become free."""
