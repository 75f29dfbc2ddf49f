"""Which role is killed when: seeded, so that a failing round can be played again."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass

from tests.chaos.account import Account
from tests.fakes.stack import Stack


@dataclass(frozen=True, slots=True)
class Strike:
    """A planned kill: once `after` requests are accepted, for `pause_s`."""

    role: str
    after: int
    pause_s: float


@dataclass(frozen=True, slots=True)
class Kill:
    """A kill as it happened. Instants are wall-clock seconds."""

    role: str
    at: float
    healed: float
    in_flight: int


def kind_of(role: str) -> str:
    """Return the role without its number, e.g. `worker` for `worker-1`."""
    return role.split("-", maxsplit=1)[0]


def plan(seed: int, roles: list[str], accepted: int, kills: int) -> list[Strike]:
    """Return the kills of the round of `seed`; over consecutive seeds all kinds get their turn."""
    draw = random.Random(seed)
    kinds = sorted({kind_of(role) for role in roles})
    strikes = []
    for number in range(kills):
        kind = kinds[(seed * kills + number) % len(kinds)]
        role = draw.choice([role for role in roles if kind_of(role) == kind])
        after = int(accepted * draw.uniform(0.3, 0.9))
        strikes.append(Strike(role, after, draw.uniform(0.3, 3.0)))
    return sorted(strikes, key=lambda strike: strike.after)


async def strike(stack: Stack, account: Account, planned: list[Strike], least: int) -> list[Kill]:
    """Carry out the plan, each kill with `least` requests in flight; return what was done."""
    locks = {role: asyncio.Lock() for role in stack.roles}

    async def one(planned_kill: Strike) -> Kill:
        async with locks[planned_kill.role]:
            await _moment(account, planned_kill.after, least)
            in_flight, at = account.in_flight, time.time()
            await asyncio.to_thread(stack.kill, planned_kill.role)
            await asyncio.sleep(planned_kill.pause_s)
            await asyncio.to_thread(stack.restart, planned_kill.role)
            return Kill(planned_kill.role, at, time.time(), in_flight)

    return list(await asyncio.gather(*(one(planned_kill) for planned_kill in planned)))


async def _moment(account: Account, after: int, least: int) -> None:
    """Wait until `after` are accepted and `least` in flight, or a minute past that is up."""
    while len(account.accepted_ids) < after:  # noqa: ASYNC110  because the account is plain data
        await asyncio.sleep(0.01)
    until = time.monotonic() + 60
    while account.in_flight < least and time.monotonic() < until:  # noqa: ASYNC110  because nothing else tells
        await asyncio.sleep(0.01)
