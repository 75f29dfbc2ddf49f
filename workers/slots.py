"""What this process holds, from the moment it is granted until it is given back."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Generic, TypeVar

import structlog

from broker.ports import Answer, Granted, Limits, Reservation, Spent, Wait, Want
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.slots")
T = TypeVar("T")
Wake = Callable[[], None]
_AWAY = Wait("the store that counts what runs")


class _Saying(Generic[T]):
    """One kind of news for the limits; what they could not be told is said again, perhaps twice."""

    def __init__(self, what: str, say: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._what = what
        self._say = say
        self._unsaid: list[T] = []

    def later(self, news: Iterable[T]) -> None:
        """Say it with the next `again`."""
        self._unsaid += news

    async def now(self, news: Sequence[T]) -> None:
        """Say it; while the engine is away that waits."""
        try:
            await self._say(news)
        except EngineError as error:
            _log.warning("is said to the limits later", what=self._what, error=str(error))
            self.later(news)

    async def again(self) -> None:
        """Say what was not said. Raises EngineError."""
        if not self._unsaid:
            return
        # It is taken out first: another pool says what comes meanwhile.
        unsaid, self._unsaid = self._unsaid, []
        try:
            await self._say(unsaid)
        except BaseException:
            self._unsaid += unsaid
            raise


class Slots:
    """Every reservation of this process passes through here: none is held without renewal."""

    def __init__(self, limits: Limits, owner: str) -> None:
        self._limits = limits
        self._owner = owner
        # One row of numbers for the whole life: an outbox entry may free an id once more, later.
        self._numbers = itertools.count(1)
        self._held: dict[str, Reservation] = {}
        # Also what may be held although nobody here uses it.
        self._refunds = _Saying("refund", limits.refund)
        self._ends = _Saying("settle", limits.settle)
        self._given_up = _Saying("give up", limits.give_up)
        self._wakes: dict[str, set[Wake]] = {}

    def __len__(self) -> int:
        return len(self._held)

    async def reserve(self, wants: Sequence[Want]) -> list[Answer]:
        """Answer each want, in order: all wait while it is unknown what was granted.

        All are of one backend and model, the best first.
        """
        try:
            for saying in (self._refunds, self._ends, self._given_up):
                await saying.again()
        except EngineError as error:
            # Nothing was asked, so nothing may have been granted: what is in doubt does not grow.
            return _all_wait(wants, error)
        asked = [(want, f"{self._owner}:{next(self._numbers)}") for want in wants]
        try:
            answers = await self._limits.reserve(asked)
        except EngineError as error:
            # They may have been granted all the same.
            self._refunds.later(Reservation(want.backend, each) for want, each in asked)
            return _all_wait(wants, error)
        for answer in answers:
            if isinstance(answer, Granted):
                self._held[answer.reservation.id] = answer.reservation
        return answers

    async def refund(self, reservations: Iterable[Reservation]) -> None:
        """Take back what no call was made under; while the engine is away that waits."""
        await self._refunds.now(self._let_go(reservations))

    async def settle(self, reservation: Reservation, tokens: int | None) -> None:
        """End a reservation whose call is over: `tokens` it used, None for the estimate."""
        await self._ends.now([Spent(each, tokens) for each in self._let_go([reservation])])

    async def give_up(self, request_ids: Iterable[str]) -> None:
        """Drop the bookings of requests that will not come for them."""
        await self._given_up.now(list(request_ids))

    async def renew(self) -> list[Reservation]:
        """Assert all that is held; return what is lost, whose calls must end at once."""
        return await self._limits.renew(tuple(self._held.values()))

    def wake_on_free(self, backend: str, wake: Wake) -> None:
        """Call `wake` whenever a slot of `backend` may have become free, until `let_sleep`."""
        if backend not in self._wakes:
            self._wakes[backend] = set()
            self._limits.on_free(backend, lambda: self._wake(backend))
        self._wakes[backend].add(wake)

    def let_sleep(self, backend: str, wake: Wake) -> None:
        """Call `wake` no more for `backend`."""
        self._wakes.get(backend, set()).discard(wake)

    def _let_go(self, reservations: Iterable[Reservation]) -> list[Reservation]:
        """Forget them first of all: a heartbeat in between would renew them."""
        given = list(reservations)
        for reservation in given:
            self._held.pop(reservation.id, None)
        return given

    def _wake(self, backend: str) -> None:
        for wake in self._wakes[backend]:
            wake()


def _all_wait(wants: Sequence[Want], error: EngineError) -> list[Answer]:
    _log.warning("nothing starts while the engine is away", error=str(error))
    return [_AWAY] * len(wants)
