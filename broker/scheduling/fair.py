"""Turns between the tenants of one class: tokens by weight, whoever sends most.

This is deficit round robin with a quantum that goes to zero, known as start-time fair queueing
(Goyal, Vin, Cheng, SIGCOMM 1996): the tenant that was served least goes next, and pays at once. No
quantum to choose, no scan over tenants: a start costs O(log tenants).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """Whatever waits its turn. Instants are Unix seconds; `cost` is in tokens."""

    @property
    def tenant(self) -> str: ...

    @property
    def accepted_at(self) -> float: ...

    @property
    def due(self) -> float: ...

    @property
    def cost(self) -> float: ...


W = TypeVar("W", bound=Waiting)

# Whole numbers, so that a charge that is taken back leaves nothing behind.
_UNIT = 1 << 20
_LEAST_COST = 1.0
_FEW = 64


@dataclass(slots=True, eq=False)
class Entry(Generic[W]):
    """One that waits: its number says who came first.

    `charge` is what its tenant paid for it, `first` whether it was the first of one that came back.
    """

    waiting: W
    number: int
    charge: int = 0
    first: bool = False
    queued: bool = False
    in_ages: bool = False


@dataclass(slots=True, eq=False)
class _Tenant(Generic[W]):
    """`served`: tokens by weight, in units. `line`: its own, by due. `turn`: its valid one.

    `back`: it came back and has not been served since.
    """

    name: str
    served: int
    back: bool = False
    line: list[tuple[float, int, Entry[W]]] = field(default_factory=list)
    turn: int = -1


class Turns(Generic[W]):
    """The waiting of one class.

    `served` of the tenants that wait lies within one charge of each other, but for corrections. A
    tenant that comes back starts level with the least served of them, so it saves nothing up, or
    where it was, if that is more: so a debt is not forgotten. Among equals it goes first, so that
    one that asks seldom does not wait for a round of those that ask all the time.
    """

    def __init__(self, weight_of: Callable[[str], float]) -> None:
        self._weight_of = weight_of
        self._tenants: dict[str, _Tenant[W]] = {}
        self._turns: list[tuple[int, bool, float, int, int, _Tenant[W]]] = []
        self._numbers = itertools.count()
        self._ages: list[tuple[float, int, Entry[W]]] = []
        self._waiting = 0
        self._level = 0
        self._sweep_at = _FEW

    def __len__(self) -> int:
        return self._waiting

    def add(self, entry: Entry[W]) -> None:
        """Take one in."""
        tenant = self._tenant(entry.waiting.tenant)
        if not tenant.line:
            tenant.served = max(tenant.served, self._least_served())
            tenant.back = True
        self._insert(tenant, entry)

    def take(self) -> Entry[W]:
        """Remove and return the best, charged to its tenant. Raises IndexError if none waits."""
        tenant = self._next()
        if tenant is None:
            raise IndexError("nobody waits")
        entry = heappop(tenant.line)[2]
        entry.queued = False
        entry.charge = self._charge(tenant.name, max(_LEAST_COST, entry.waiting.cost))
        entry.first, tenant.back = tenant.back, False
        self._level = tenant.served
        tenant.served += entry.charge
        self._waiting -= 1
        self._give_turn(tenant)
        return entry

    def put_back(self, entry: Entry[W]) -> None:
        """Take back one that did not start: its tenant gets back what it paid."""
        tenant = self._repay(entry) or self._tenant(entry.waiting.tenant)
        self._insert(tenant, entry)

    def refund(self, entry: Entry[W]) -> None:
        """Give its tenant back what it paid for one that will not start here."""
        tenant = self._repay(entry)
        if tenant is not None:
            self._give_turn(tenant)

    def correct(self, name: str, tokens: float) -> None:
        """Charge a tenant `tokens` more, or less; to one that is forgotten nothing is given."""
        if tokens < 0 and name not in self._tenants:
            return
        tenant = self._tenant(name)
        tenant.served += self._charge(name, tokens)
        self._give_turn(tenant)

    def oldest(self) -> float | None:
        """Return when the oldest was accepted; None if none waits."""
        while self._ages and not self._ages[0][2].queued:
            heappop(self._ages)[2].in_ages = False
        return self._ages[0][0] if self._ages else None

    def drain(self) -> list[Entry[W]]:
        """Remove and return all, best first; nobody is charged."""
        level = self._level
        drained = [self.take() for _ in range(self._waiting)]
        for entry in drained:
            self.refund(entry)
        self._level = level
        return drained

    def _repay(self, entry: Entry[W]) -> _Tenant[W] | None:
        """Take the charge back; None for a tenant that is forgotten, and its debts with it."""
        tenant = self._tenants.get(entry.waiting.tenant)
        if tenant is not None:
            tenant.served -= entry.charge
            tenant.back = tenant.back or entry.first
        return tenant

    def _charge(self, name: str, tokens: float) -> int:
        return round(tokens * _UNIT / self._weight_of(name))

    def _tenant(self, name: str) -> _Tenant[W]:
        tenant = self._tenants.get(name)
        if tenant is None:
            self._sweep()
            tenant = self._tenants[name] = _Tenant(name, self._least_served())
        return tenant

    def _insert(self, tenant: _Tenant[W], entry: Entry[W]) -> None:
        heappush(tenant.line, (entry.waiting.due, entry.number, entry))
        entry.queued = True
        self._waiting += 1
        if not entry.in_ages:
            entry.in_ages = True
            heappush(self._ages, (entry.waiting.accepted_at, entry.number, entry))
        self._give_turn(tenant)

    def _give_turn(self, tenant: _Tenant[W]) -> None:
        """Put a tenant at its place among the others; its earlier turn is void."""
        tenant.turn = next(self._numbers)
        if tenant.line:
            due, number, _ = tenant.line[0]
            # Then the one due first; the last number only tells void turns apart.
            turn = (tenant.served, not tenant.back, due, number, tenant.turn, tenant)
            heappush(self._turns, turn)
        if len(self._turns) > _FEW + 4 * len(self._tenants):
            self._turns = [turn for turn in self._turns if turn[4] == turn[5].turn]
            heapify(self._turns)

    def _next(self) -> _Tenant[W] | None:
        while self._turns and self._turns[0][4] != self._turns[0][5].turn:
            heappop(self._turns)
        return self._turns[0][5] if self._turns else None

    def _least_served(self) -> int:
        tenant = self._next()
        return self._level if tenant is None else tenant.served

    def _sweep(self) -> None:
        """Forget the idle tenants that would start level with the others anyway.

        Where nobody waits there is nobody to whom anything could be owed.
        """
        if len(self._tenants) < self._sweep_at:
            return
        least = self._least_served()
        self._tenants = {
            name: tenant
            for name, tenant in self._tenants.items()
            if tenant.line or (self._waiting and tenant.served > least)
        }
        self._sweep_at = max(_FEW, 2 * len(self._tenants))
