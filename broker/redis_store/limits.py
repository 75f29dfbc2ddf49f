"""The Limits port: leases in a sorted set per cap, a bucket per rate (PROTOCOL 3, reserve)."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack

from broker.ports import (
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
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits
from schemas.errors import StoreUnavailable

# Longer than any instant in seconds: the rank decides before the due time.
_RANK_WEIGHT = 1e11
# A script unpacks some 8,000 values, no more.
_AT_ONCE = 1_000


class RedisLimits:
    """What all processes hold and have booked, counted by Redis."""

    def __init__(self, batcher: Batcher, keys: Keys, owner: str, waits: Waits) -> None:
        self._batcher = batcher
        self._keys = keys
        self._owner = owner
        self._minted = f"{owner}:"
        self._waits = waits
        # The last pulse of each cap that this process saw: the proof of what Redis forgot.
        self._seen: dict[str, int] = defaultdict(int)
        # How many each cap allows, and which caps a reservation of this process may hold beside its
        # slot, if it may hold anything beside that.
        self._most: dict[str, int] = {}
        self._beside: dict[str, tuple[str, ...]] = {}
        # And which are under a cap beside live ones: that is held as a slot is, without more.
        self._under: dict[str, str] = {}
        # What has ended since the last renewal began.
        self._ended: set[str] = set()
        self._cursor = 0

    async def reserve(self, wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        if not wants:
            return []
        first = wants[0][0]
        self._most[first.backend] = first.slot.limit
        if any(want.own or want.shared for want, _ in wants):
            return await self._book(wants)
        under = self._note_under(wants)
        args = [
            part
            for want, each in wants
            for part in (each, repr(_score(want)), int(want.beside_live is not None))
        ]
        keys = (*self._keys.of_backend(first.backend), self._keys.live(first.backend))
        line, seen = self._line(first), self._seen[first.backend]
        pulse, *places = await self._run(
            "reserve",
            (*keys, *self._keys.of_backend(under.key)) if under else keys,
            first.slot.limit,
            line,
            seen,
            self._keys.wake,
            under.limit if under else 0,
            *args,
        )
        self._seen[first.backend] = pulse
        waits = Wait(first.slot.what)
        answers: list[Answer] = [waits] * len(wants)
        for place in places:
            answers[place] = Granted(Reservation(first.backend, wants[place][1]))
        for answer, (_, each) in zip(answers, wants, strict=True):
            if answer is waits:
                self._under.pop(each, None)
        return answers

    async def refund(self, reservations: Iterable[Reservation]) -> None:
        await self._end("refund", [Spent(each) for each in reservations])

    async def settle(self, spent: Iterable[Spent]) -> None:
        await self._end("settle", spent)

    async def renew(self, reservations: Iterable[Reservation]) -> list[Reservation]:
        held = {each.id: each for each in reservations}
        self._ended.clear()
        by_cap: dict[tuple[str, str | None], list[str]] = {}
        for each in held.values():
            by_cap.setdefault((each.backend, self._under.get(each.id)), []).append(each.id)
            for key in self._beside.get(each.id, ()):
                by_cap.setdefault((key, None), []).append(each.id)
        found = await asyncio.gather(*(self._renew(*caps, ids) for caps, ids in by_cap.items()))
        await self._end_again(by_cap)
        lost = {reservation_id for some in found for reservation_id in some}
        return [each for each in held.values() if each.id in lost]

    async def give_up(self, request_ids: Iterable[str]) -> None:
        ids, keys, prefix = list(request_ids), self._keys.of_limits(), self._keys.limits_prefix()
        for at in range(0, len(ids), _AT_ONCE):
            await self._run("give_up", keys, prefix, *ids[at : at + _AT_ONCE])

    async def orphans(self, limit: int) -> list[tuple[Reservation, str]]:
        keys, prefix = self._keys.of_limits(), self._keys.limits_prefix()
        cursor, *found = await self._run("orphans", keys, prefix, self._cursor, limit)
        self._cursor = int(cursor)
        return [
            (Reservation(backend.decode(), each.decode()), request_id.decode())
            for backend, each, request_id in found
        ]

    async def peek(self, own: Sequence[Cap | Rate], rank: int) -> float:
        limits = msgpack.packb([_packed(limit) for limit in own])
        keys, prefix = self._keys.of_limits(), self._keys.limits_prefix()
        return float(await self._run("peek", keys, prefix, rank, limits))

    async def held(self, key: str) -> int:
        count: int = await self._run("held", self._keys.of_backend(key))
        return count

    def on_free(self, backend: str, wake: Callable[[], None]) -> None:
        self._waits.on_free(backend, wake)

    async def _book(self, wants: Sequence[tuple[Want, str]]) -> list[Answer]:
        first = wants[0][0]
        under = self._note_under(wants)
        caps = {first.backend: first.slot.limit}
        for want, each in wants:
            beside = {limit.key: limit.limit for limit in _limits(want) if isinstance(limit, Cap)}
            caps |= beside
            # Before it is known what was granted: that answer may be lost.
            self._beside[each] = tuple(beside)
        pulse, *answers = await self._run(
            "book",
            (
                *self._keys.of_backend(first.backend),
                self._keys.live(first.backend),
                *self._keys.of_limits(),
            ),
            first.slot.limit,
            self._line(first),
            self._keys.limits_prefix(),
            self._keys.wake,
            first.backend,
            msgpack.packb({key: self._seen[key] for key in caps}),
            msgpack.packb([_asked(want, each) for want, each in wants]),
            msgpack.packb([under.key, under.limit]) if under else "",
        )
        self._most |= caps
        self._seen |= dict.fromkeys(caps, pulse)
        pairs = zip(answers, wants, strict=True)
        return [self._answer(answer, want, each) for answer, (want, each) in pairs]

    def _answer(self, answer: list[Any], want: Want, reservation_id: str) -> Answer:
        if answer[0] != 1:
            self._forget(reservation_id)
        match answer:
            case [1]:
                return Granted(Reservation(want.backend, reservation_id))
            case [2, at, place]:
                limit = _limits(want)[place - 1]
                return StartAt(float(at), limit.what, isinstance(limit, Cap))
            case [3, place, at]:
                return Wait(_what(want, place), None if at is None else float(at))
            case [4, at, place]:
                return TooLate(float(at), _what(want, place))
            case _:
                raise StoreUnavailable(f"the script book answered {answer!r}")

    async def _end(self, how: str, spent: Iterable[Spent]) -> None:
        ended = list(spent)
        self._ended.update(each.reservation.id for each in ended)
        for at in range(0, len(ended), _AT_ONCE):
            await self._end_some(how, ended[at : at + _AT_ONCE])

    async def _end_some(self, how: str, spent: Sequence[Spent]) -> None:
        """Give back what ended; what another process made may hold more than a slot."""
        slots: dict[tuple[str, str | None], list[str]] = {}
        more: dict[str, list[Any]] = {}
        for each in spent:
            backend, reservation_id = each.reservation.backend, each.reservation.id
            if reservation_id in self._beside or not reservation_id.startswith(self._minted):
                tokens = "" if each.tokens is None else each.tokens
                more.setdefault(backend, []).extend((reservation_id, tokens))
            else:
                caps = backend, self._under.get(reservation_id)
                slots.setdefault(caps, []).append(reservation_id)
        await asyncio.gather(
            *(self._free(*caps, ids) for caps, ids in slots.items()),
            *(self._settle(how, backend, pairs) for backend, pairs in more.items()),
        )

    async def _free(self, backend: str, under: str | None, ids: Sequence[str]) -> None:
        keys = [key for cap in (backend, under) if cap for key in self._keys.of_backend(cap)]
        await self._run("free", keys, self._keys.wake, *ids)
        for reservation_id in ids:
            self._forget(reservation_id)

    async def _settle(self, how: str, backend: str, pairs: Sequence[Any]) -> None:
        keys = (*self._keys.of_backend(backend), *self._keys.of_limits())
        prefix, wake = self._keys.limits_prefix(), self._keys.wake
        await self._run("settle", keys, prefix, wake, how, *pairs)
        for reservation_id in pairs[::2]:
            self._forget(reservation_id)

    async def _renew(self, key: str, under: str | None, ids: list[str]) -> list[str]:
        most = self._most.get(key, 0)
        keys = self._keys.of_backend(key)
        if under is not None:
            keys = (*keys, self._keys.of_backend(under)[0])
        self._seen[key], *lost = await self._run("renew", keys, self._seen[key], most, *ids)
        return [each.decode() for each in lost]

    async def _end_again(self, by_cap: dict[tuple[str, str | None], list[str]]) -> None:
        """Free what has ended during its renewal.

        They went by different connections: renewed last, it would be held for a lease by nobody.
        """
        ended = {
            caps: [each for each in ids if each in self._ended] for caps, ids in by_cap.items()
        }
        await asyncio.gather(*(self._free(*caps, ids) for caps, ids in ended.items() if ids))

    def _note_under(self, wants: Sequence[tuple[Want, str]]) -> Cap | None:
        """Note which are under the cap beside live ones, and return it: it is one for all."""
        found = None
        for want, each in wants:
            if want.beside_live is not None:
                found = want.beside_live
                self._under[each] = found.key
        return found

    def _forget(self, reservation_id: str) -> None:
        self._beside.pop(reservation_id, None)
        self._under.pop(reservation_id, None)

    def _line(self, want: Want) -> str:
        return f"{self._owner}\0{want.backend}\0{want.model}"

    async def _run(self, name: str, keys: Sequence[str], *args: Any) -> Any:
        return await self._batcher.submit(self._keys.limits, *script(name, keys, *args))


def _score(want: Want) -> float:
    rank, due = want.score
    return rank * _RANK_WEIGHT + due


def _limits(want: Want) -> tuple[Cap | Rate, ...]:
    return (*want.own, *want.shared)


def _what(want: Want, place: int) -> str:
    limits = (want.slot, *_limits(want), want.beside_live or want.slot)
    return limits[place].what


def _asked(want: Want, reservation_id: str) -> list[Any]:
    own, shared = ([_packed(each) for each in some] for some in (want.own, want.shared))
    score, deadline = _score(want), float(want.deadline)
    under = want.beside_live is not None
    return [reservation_id, want.request_id, want.rank, score, deadline, own, shared, under]


def _packed(limit: Cap | Rate) -> list[Any]:
    if isinstance(limit, Rate):
        return [limit.key, limit.per_minute, float(limit.cost), limit.counts == "tokens"]
    return [limit.key, limit.limit, False, False]
