"""A process that asks for reservations, with everything filled in that a test does not care for."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import replace
from typing import Any

from broker.ports import Answer, Cap, Granted, Limits, Rate, Reservation, Wait, Want
from tests.conformance.stages import Process

_numbers = itertools.count(1)
FAR = 1e12


class Asker:
    """Asks in the name of one process for one model, on a backend that no other test uses."""

    def __init__(self, process: Process, model: str = "m") -> None:
        self.limits: Limits = process.limits
        self.owner = process.owner
        self.model = model
        self.backend = f"gpu-{secrets.token_hex(4)}"
        self.minted: list[str] = []

    def mint(self) -> str:
        self.minted.append(f"{self.owner}:{next(_numbers)}")
        return self.minted[-1]

    def want(
        self, *, slots: int = 1_000_000, rank: int = 1, due: float = 100.0, **more: Any
    ) -> Want:
        request_id = f"req_{secrets.token_hex(8)}"
        slot = Cap(self.backend, slots, "a slot")
        plain = Want(request_id, self.backend, self.model, rank, due, FAR, slot)
        return replace(plain, **more)

    async def ask(self, want: Want) -> Answer:
        (answer,) = await self.limits.reserve([(want, self.mint())])
        return answer

    async def ask_all(self, *wants: Want) -> list[Answer]:
        return await self.limits.reserve([(want, self.mint()) for want in wants])

    async def granted(self, count: int, **how: Any) -> list[Reservation]:
        return granted_of(await self.ask_all(*(self.want(**how) for _ in range(count))))

    async def held(self) -> int:
        return await self.limits.held(self.backend)


def granted_of(answers: list[Answer]) -> list[Reservation]:
    return [answer.reservation for answer in answers if isinstance(answer, Granted)]


def waits(answer: Answer) -> bool:
    return isinstance(answer, Wait)


def new_rate(per_minute: float, cost: float = 1, *, counts: Any = "requests") -> Rate:
    key = f"tenant:{secrets.token_hex(4)}"
    return Rate(key, per_minute, cost, f"a rate of {key}", counts)


def new_cap(limit: int) -> Cap:
    key = f"tenant:{secrets.token_hex(4)}:parallel"
    return Cap(key, limit, f"a cap of {key}")


async def seconds_until(limits: Limits, own: Rate | Cap, rank: int = 1) -> float:
    return await limits.peek([own], rank) - time.time()
