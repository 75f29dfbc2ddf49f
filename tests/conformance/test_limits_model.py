"""Limits against a model of a few lines, on both engines: random lives of reservations.

What must hold: no cap is ever exceeded, what has started in any interval is never more than a
bucket and its refill, and nothing is left when all is over.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

import pytest
import redis.asyncio
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from broker.embedded.limits import EmbeddedLimits
from broker.ports import (
    Cap,
    Granted,
    Limits,
    Rate,
    Reservation,
    Spent,
    StartAt,
    TooLate,
    Want,
)
from broker.ports.limits import LIVE_S
from broker.redis_store.parts import RedisParts
from tests.conformance.ageing import age_limits
from tests.fakes.counters import counters_left

T = TypeVar("T")
# What the clocks of the test and of Redis may differ by, in seconds of refill.
SLACK_S = 0.25
LEASE_S, BEAT_S = 8.0, 2.0
BACKEND = "gpu"
SLOTS = Cap(BACKEND, 4, "a slot")
TENANT_CAP = Cap("tenant:t:parallel", 2, "a cap of the tenant")
MODEL_CAP = Cap("model:m:parallel", 3, "a cap of the model")
BATCH, BESIDE_LIVE = 3, Cap("backend:gpu:batch", 2, "a share")
TENANT_RPM, TENANT_TPM, BACKEND_TPM = 20.0, 100.0, 150.0


class Engine(Protocol):
    """One engine's limits under a clock that the test moves."""

    @property
    def processes(self) -> list[Limits]: ...

    async def start(self) -> None: ...
    def now(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    async def reborn(self, number: int) -> bool:
        """Kill a process without a word; tell whether the rates have forgotten everything."""

    async def left(self) -> list[str]: ...
    async def stop(self) -> None: ...


class Embedded:
    """One process: with it dies all that it counted."""

    def __init__(self) -> None:
        self._now = 1_000_000.0
        self._limits = EmbeddedLimits(self.now)

    @property
    def processes(self) -> list[Limits]:
        return [self._limits]

    async def start(self) -> None: ...

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        self._now += seconds

    async def reborn(self, _number: int) -> bool:
        self._limits = EmbeddedLimits(self.now)
        return True

    async def left(self) -> list[str]:
        known = self._limits._reserver
        left = [key for key, places in known._places.items() if places.holders]
        left += [key for key, bucket in known._buckets.items() if bucket.full_at > self._now]
        left += [key for key, turns in known._rate_turns.items() if len(turns)]
        left += [key for key, turns in known._cap_turns.items() if len(turns)]
        return [*left, *known._held, *known._booked]

    async def stop(self) -> None: ...


class Redis:
    """Two processes on one Redis."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._namespace = f"model-{secrets.token_hex(4)}"
        self._aged = 0.0
        self._parts: list[RedisParts] = []
        self._client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url)

    @property
    def processes(self) -> list[Limits]:
        return [parts.limits for parts in self._parts]

    async def start(self) -> None:
        self._parts = [await self._open(), await self._open()]

    async def _open(self) -> RedisParts:
        # Nobody listens: whoever waits asks again.
        return RedisParts(self._url, f"{secrets.token_hex(4)}:1", namespace=self._namespace)

    def now(self) -> float:
        return time.time() + self._aged

    async def sleep(self, seconds: float) -> None:
        await age_limits(self._client, self._namespace, seconds)
        self._aged += seconds

    async def reborn(self, number: int) -> bool:
        await self._parts[number].stop()
        self._parts[number] = await self._open()
        return False

    async def left(self) -> list[str]:
        return await counters_left(self._client, self._namespace)

    async def stop(self) -> None:
        for parts in self._parts:
            await parts.stop()
        async for key in self._client.scan_iter(match=f"{{{self._namespace}*"):
            await self._client.delete(key)
        await self._client.aclose()


@dataclass
class Running:
    """A reservation as the model has it: who holds it, under what, and until when if it is dead."""

    reservation: Reservation
    want: Want
    process: int
    at: float
    dead_at: float | None = None


@dataclass
class Started:
    """What one start was charged under one rate, less what was given back."""

    reservation: str
    at: float
    cost: float


@dataclass
class Model:
    """What is held, and all that has ever started."""

    running: dict[str, Running] = field(default_factory=dict)
    started: dict[str, list[Started]] = field(default_factory=dict)
    parked: dict[str, Want] = field(default_factory=dict)
    live_at: float = 0.0

    def held(self, key: str, now: float) -> int:
        return sum(
            any(isinstance(each, Cap) and each.key == key for each in limits_of(run.want))
            for run in self.running.values()
            if run.dead_at is None or now < run.dead_at
        )

    def charge(self, run: Running) -> None:
        for limit in limits_of(run.want):
            if isinstance(limit, Rate):
                starts = self.started.setdefault(limit.key, [])
                starts.append(Started(run.reservation.id, run.at, limit.cost))

    def give_back(self, reservation: str, *, tokens: int | None) -> None:
        """Correct what was charged; None: all of it was for nothing."""
        for key, starts in self.started.items():
            for start in starts:
                if start.reservation == reservation and tokens is None:
                    start.cost = 0.0
                elif start.reservation == reservation and key.endswith(":tpm"):
                    start.cost = min(start.cost, tokens or 0)


def limits_of(want: Want) -> list[Cap | Rate]:
    under = [] if want.beside_live is None else [want.beside_live]
    return [*want.own, *want.shared, *under, want.slot]


SHAPES = st.fixed_dictionaries(
    {
        "rank": st.integers(0, 3),
        "cost": st.sampled_from([5.0, 30.0, 70.0, 120.0]),
        "own": st.sets(st.sampled_from(["rpm", "tpm", "cap"])),
        "patience_s": st.sampled_from([3.0, 1_000_000.0]),
    }
)
SHARED = st.sets(st.sampled_from(["tpm", "cap"]))
PICK = st.integers(0, 1_000)
_REST_ROUNDS = 12


class LimitsAndModel(RuleBasedStateMachine):
    """Every rule does one step on both."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.engine = engine
        self.model = Model()
        self.numbers = itertools.count(1)
        self.run(engine.start())

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    @rule(process=PICK, shapes=st.lists(SHAPES, min_size=1, max_size=3), shared=SHARED)
    def ask(self, process: int, shapes: list[dict[str, Any]], shared: set[str]) -> None:
        self._ask(process, [self._want(**shape, shared=shared) for shape in shapes])

    @precondition(lambda self: self.model.parked)
    @rule(process=PICK, which=PICK)
    def ask_again(self, process: int, which: int) -> None:
        want = pick(list(self.model.parked.values()), which)
        self._ask(process, [want])

    @precondition(lambda self: self.model.parked)
    @rule(process=PICK, which=PICK)
    def give_up(self, process: int, which: int) -> None:
        request_id = pick(list(self.model.parked), which)
        del self.model.parked[request_id]
        self.run(self._limits(process).give_up([request_id]))

    @precondition(lambda self: self._alive())
    @rule(which=PICK)
    def refund(self, which: int) -> None:
        run = pick(self._alive(), which)
        self.run(self._limits(run.process).refund([run.reservation]))
        self._end(run, tokens=None)

    @precondition(lambda self: self._alive())
    @rule(which=PICK, tokens=st.sampled_from([None, 0, 10, 50, 200]), other=st.booleans())
    def settle(self, which: int, tokens: int | None, other: bool) -> None:
        """By its own process, or by a keeper elsewhere; twice changes nothing."""
        run = pick(self._alive(), which)
        for _ in range(2):
            limits = self._limits(run.process + other)
            self.run(limits.settle([Spent(run.reservation, tokens)]))
        self._end(run, tokens=1_000 if tokens is None else tokens)

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0, 20.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.run(self._live(seconds))

    @rule(process=PICK)
    def a_process_dies(self, process: int) -> None:
        number = process % len(self.engine.processes)
        forgotten = self.run(self.engine.reborn(number))
        for run in list(self._alive()):
            if forgotten:
                del self.model.running[run.reservation.id]
            elif run.process == number:
                # Its lease was renewed at the last beat, or made since.
                run.dead_at = self.engine.now() + LEASE_S - BEAT_S
        if forgotten:
            self.model.started.clear()
            self.model.live_at = 0.0
            self.model.parked.clear()

    @rule(process=PICK)
    def keeper_looks(self, process: int) -> None:
        self.run(self._resolve_orphans(self._limits(process)))

    @invariant()
    def no_cap_is_exceeded(self) -> None:
        now = self.engine.now()
        for cap in (SLOTS, TENANT_CAP, MODEL_CAP):
            assert self.model.held(cap.key, now) <= cap.limit, cap

    @invariant()
    def no_rate_is_exceeded(self) -> None:
        for key, starts in self.model.started.items():
            per_minute = float(key.split("/")[0])
            for index, first in enumerate(starts):
                total, largest = 0.0, 0.0
                for start in starts[index:]:
                    total += start.cost
                    largest = max(largest, start.cost)
                    refilled = per_minute / 60 * (start.at - first.at + SLACK_S)
                    assert total <= max(per_minute, largest) + refilled, key

    def teardown(self) -> None:
        try:
            self.run(self._rest())
        finally:
            self.run(self.engine.stop())
            self.runner.close()

    async def _rest(self) -> None:
        """End everything; then nothing may be left."""
        for run in list(self.model.running.values()):
            await self.engine.processes[0].refund([run.reservation])
        await self.engine.processes[0].give_up(list(self.model.parked))
        self.model.running.clear()
        # Calls that used more than was estimated leave debts of minutes.
        for _ in range(_REST_ROUNDS):
            await self._live(70.0)
            await self._resolve_orphans(self.engine.processes[0])
            # One with nothing asks, so that what has lapsed is noticed.
            for process in self.engine.processes:
                last = self._want(BATCH, 1.0, {"rpm", "tpm", "cap"})
                await process.reserve([(last, "x:1:0")])
                await process.refund([Reservation(BACKEND, "x:1:0")])
                await process.give_up([last.request_id])
        await self._live(10.0)
        left = await self.engine.left()
        assert not left, left

    def _limits(self, process: int) -> Limits:
        return self.engine.processes[process % len(self.engine.processes)]

    def _alive(self) -> list[Running]:
        return [run for run in self.model.running.values() if run.dead_at is None]

    def _want(
        self,
        rank: int,
        cost: float,
        own: set[str],
        shared: set[str] = frozenset(),  # type: ignore[assignment]  # because it is never changed
        patience_s: float = 1e6,
    ) -> Want:
        mine: dict[str, Cap | Rate] = {
            "rpm": Rate(f"{TENANT_RPM}/tenant:rpm", TENANT_RPM, 1, "rpm", "requests"),
            "tpm": Rate(f"{TENANT_TPM}/tenant:tpm", TENANT_TPM, cost, "tpm", "tokens"),
            "cap": TENANT_CAP,
        }
        ours: dict[str, Cap | Rate] = {
            "tpm": Rate(f"{BACKEND_TPM}/backend:tpm", BACKEND_TPM, cost, "tpm", "tokens"),
            "cap": MODEL_CAP,
        }
        now = self.engine.now()
        return Want(
            f"req_{next(self.numbers)}",
            BACKEND,
            f"m{sorted(shared)}",
            rank,
            now,
            # Redis has its own clock, which the test moves by ageing.
            time.time() + patience_s if isinstance(self.engine, Redis) else now + patience_s,
            SLOTS,
            tuple(mine[name] for name in sorted(own)),
            tuple(ours[name] for name in sorted(shared)),
            beside_live=BESIDE_LIVE if rank == BATCH else None,
        )

    def _ask(self, process: int, wants: list[Want]) -> None:
        number = process % len(self.engine.processes)
        asked = [(want, f"p{number}:1:{next(self.numbers)}") for want in wants]
        answers = self.run(self._limits(number).reserve(asked))
        now = self.engine.now()
        for (want, _), answer in zip(asked, answers, strict=True):
            self.model.parked.pop(want.request_id, None)
            if isinstance(answer, Granted):
                run = Running(answer.reservation, want, number, now)
                self.model.running[answer.reservation.id] = run
                self.model.charge(run)
                self._leaves_room(want, now)
            elif isinstance(answer, StartAt):
                assert answer.at <= want.deadline
                self.model.parked[want.request_id] = want
            elif isinstance(answer, TooLate):
                assert answer.at > want.deadline

    def _leaves_room(self, started: Want, now: float) -> None:
        """Beside what is live, no batch request starts beyond its share."""
        if started.beside_live is None:
            self.model.live_at = now
        elif now < self.model.live_at + LIVE_S - SLACK_S:
            assert self.model.held(BESIDE_LIVE.key, now) <= BESIDE_LIVE.limit

    def _end(self, run: Running, tokens: int | None) -> None:
        del self.model.running[run.reservation.id]
        self.model.give_back(run.reservation.id, tokens=tokens)

    async def _live(self, seconds: float) -> None:
        """Let time pass in beats: the living renew what they hold."""
        while seconds > 0:
            step = min(seconds, BEAT_S)
            await self.engine.sleep(step)
            seconds -= step
            for number, process in enumerate(self.engine.processes):
                held = [run.reservation for run in self._alive() if run.process == number]
                assert await process.renew(held) == []

    async def _resolve_orphans(self, limits: Limits) -> None:
        for reservation, _ in await limits.orphans(1_000):
            run = self.model.running.get(reservation.id)
            assert run is None or run.dead_at is not None, "the living have their leases"
            await limits.refund([reservation])
            if run is not None:
                self._end(run, tokens=None)


def pick(some: list[T], which: int) -> T:
    return some[which % len(some)]


def run_on(engine: Callable[[], Engine], how: settings) -> None:
    # It is typed for a class, and takes whatever makes a machine.
    make = cast(type[RuleBasedStateMachine], lambda: LimitsAndModel(engine()))
    run_state_machine_as_test(make, settings=how)


_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def test_the_embedded_engine_keeps_every_limit() -> None:
    run_on(
        Embedded,
        settings(
            max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=_QUIET
        ),
    )


@pytest.mark.realservers
def test_redis_keeps_every_limit(redis_url: str) -> None:
    run_on(
        lambda: Redis(redis_url),
        settings(
            max_examples=10,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=_QUIET,
            # Each step of a shrink would cost as much as an example.
            phases=[Phase.generate],
        ),
    )
