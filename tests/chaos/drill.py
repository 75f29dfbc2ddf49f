"""The kill drill: accept under load, kill -9 every role, heal, drain, and account for each request.

`python -m tests.chaos.drill --engine embedded|real --rounds 20 --accepted 2000 --seed 1`
"""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import aiohttp

from broker.scheduling.keeping import LOOK_AGAIN_S, UNPUBLISHED_AFTER_S
from tests.chaos.account import Account
from tests.chaos.client import Client
from tests.chaos.load import (
    Load,
    backlog_gone,
    drain,
    follow_backend,
    read_in_chaos,
    submit_all,
)
from tests.chaos.planted import FAULTS
from tests.chaos.report import columns, line, summary
from tests.chaos.slots import slots_left
from tests.chaos.strikes import Kill, plan, strike
from tests.chaos.verdict import adopt, judge, recoveries, take_overs
from tests.fakes.stack import Engine, Setup, Stack, backend_process

BACKEND = "fake"


@dataclass(frozen=True, slots=True)
class Options:
    """What to drill. `seed` is that of the first round; each later round adds one."""

    engine: Engine
    rounds: int = 20
    accepted: int = 2_000
    seed: int = 1
    plant: str | None = None
    kills: int = 3
    backlog: int = 400
    least_in_flight: int = 200
    concurrency: int = 64
    model: str = "jitter-200-800"
    drain_s: float = 90.0
    apis: int = 2
    workers: int = 2

    def replay(self, seed: int) -> str:
        """Return the command that plays the round of `seed` again."""
        plant = f" --plant {self.plant}" if self.plant else ""
        return (
            f"python -m tests.chaos.drill --engine {self.engine} --rounds 1"
            f" --accepted {self.accepted} --kills {self.kills} --seed {seed}{plant}"
        )


@dataclass
class Outcome:
    """All rounds together; the drill passed when `failures` is empty."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    failures: dict[int, list[str]] = field(default_factory=dict)
    kills: Counter[str] = field(default_factory=Counter)
    recovery_s: dict[str, list[float]] = field(default_factory=dict)
    take_over_s: list[float] = field(default_factory=list)


class Drill:
    """The rounds, one after another on the same stack."""

    def __init__(self, options: Options, stack: Stack, backend_url: str) -> None:
        self.options = options
        self.stack = stack
        self.backend_url = backend_url
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Play all rounds; a failed one does not stop those after it."""
        print(columns(), flush=True)
        connector = aiohttp.TCPConnector(limit=200, force_close=False)
        async with aiohttp.ClientSession(connector=connector) as session:
            client = Client(session, self.stack.urls, self.options.model)
            for seed in range(self.options.seed, self.options.seed + self.options.rounds):
                await self._round(session, client, seed)
        return self.outcome

    async def _round(self, session: aiohttp.ClientSession, client: Client, seed: int) -> None:
        options, draw, began = self.options, random.Random(seed), time.monotonic()
        account = Account(f"s{seed}")
        first_call = (await self._ledger(session, "summary"))["calls"]
        planned = plan(seed, self.stack.roles, options.accepted, options.kills)
        # With a fault planted, each held call that is lost would be waited for in vain.
        held_share = 0.0 if options.plant else 0.12
        load = Load(options.accepted, options.backlog, held_share)
        beside = [
            asyncio.create_task(follow_backend(session, self.backend_url, account)),
            asyncio.create_task(read_in_chaos(client, account, draw)),
        ]
        try:
            killed = asyncio.Event()
            submitting = asyncio.create_task(submit_all(client, account, load, draw, killed))
            kills = await self._strike(account, planned, submitting)
            killed.set()
            await submitting
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        await self._unpublished_published(kills)
        unrest = await self._settle(session, client, account, first_call)
        seen = await self._ledger(session, "since", first_call)
        self._conclude(seed, account, seen, kills, unrest, time.monotonic() - began)

    async def _strike(
        self, account: Account, planned: list[Any], submitting: asyncio.Task[None]
    ) -> list[Kill]:
        """Carry out the kills while the load lasts; a load that ended before them has given up."""
        striking = asyncio.create_task(
            strike(self.stack, account, planned, self.options.least_in_flight)
        )
        await asyncio.wait({striking, submitting}, return_when=asyncio.FIRST_COMPLETED)
        if not striking.done():
            striking.cancel()
            with suppress(asyncio.CancelledError):
                await striking
            return []
        return await striking

    async def _unpublished_published(self, kills: list[Kill]) -> None:
        """Wait until the keeper has published what a door left behind when it was killed.

        Such a request was never answered, so no wait for an id would wait for it, and it would
        run in the middle of the next round.
        """
        if self.options.engine == "real" and kills:
            until = max(kill.healed for kill in kills) + UNPUBLISHED_AFTER_S + LOOK_AGAIN_S
            await asyncio.sleep(max(0.0, until - time.time()))

    async def _settle(
        self, session: aiohttp.ClientSession, client: Client, account: Account, first_call: int
    ) -> list[str]:
        """Everything is healed: wait, bounded, until all is at rest; return what is not."""
        bound = self.options.drain_s
        await drain(client, account, [entry for entry in account.entries if entry.id], bound)
        unrest = await backlog_gone(client, 30.0 if not self.options.plant else 5.0)
        # Only now is it certain that whatever was accepted unbeknown has reached the backend.
        found = adopt(account, (await self._ledger(session, "since", first_call))["calls"])
        await drain(client, account, found, bound)
        if not unrest and "redis" in self.stack.servers:
            unrest += await slots_left(self.stack.servers["redis"].url, BACKEND)
        return unrest

    async def _ledger(
        self, session: aiohttp.ClientSession, what: str, since: int = 0
    ) -> dict[str, Any]:
        query = {what: str(since)}
        async with session.get(f"{self.backend_url}/ledger", params=query) as answer:
            return dict(await answer.json())

    def _conclude(
        self,
        seed: int,
        account: Account,
        seen: dict[str, Any],
        kills: list[Kill],
        unrest: list[str],
        seconds: float,
    ) -> None:
        options, outcome, calls = self.options, self.outcome, seen["calls"]
        verdict = judge(account, calls, kills)
        verdict.fail("not at rest", unrest)
        verdict.fail("died by itself", self.stack.died())
        if seen["high_water"] > options.concurrency:
            verdict.fail("slots", [f"{seen['high_water']} calls open, limit {options.concurrency}"])
        few = [f"{k.role} at {k.in_flight}" for k in kills if k.in_flight < options.least_in_flight]
        verdict.fail(f"killed with fewer than {options.least_in_flight} in flight", few)
        for kill in kills:
            outcome.kills[kill.role] += 1
        for kind, waits in recoveries(calls, kills).items():
            outcome.recovery_s.setdefault(kind, []).extend(waits)
        outcome.take_over_s += take_overs(calls, kills)
        verdict.row |= {
            "high water": seen["high_water"],
            "in flight": min((kill.in_flight for kill in kills), default=0),
            "killed": " ".join(kill.role for kill in kills),
            "seconds": f"{seconds:.0f}",
        }
        outcome.rows.append(verdict.row)
        print(line(seed, verdict.row, ok=not verdict.failures), flush=True)
        if verdict.failures:
            outcome.failures[seed] = verdict.failures
            for failure in verdict.failures:
                print(f"      {failure}", flush=True)


@contextmanager
def stage(options: Options, directory: Path) -> Iterator[tuple[Stack, str]]:
    """Start the fake backend and Penstock in front of it."""
    with backend_process(directory) as (url, _):
        setup = Setup(
            engine=options.engine,
            backends={
                BACKEND: {
                    "urls": [f"{url}/v1"],
                    "concurrency": options.concurrency,
                    "timeout_s": 30,
                }
            },
            models={options.model: {"targets": [{"backend": BACKEND}]}},
            apis=options.apis,
            workers=options.workers,
            fault=options.plant,
        )
        with Stack(directory, setup) as stack:
            yield stack, url


def drill(options: Options, directory: Path) -> Outcome:
    """Run a whole drill in `directory`, which keeps all logs and the backend's ledger."""
    with stage(options, directory) as (stack, backend_url):
        outcome = asyncio.run(Drill(options, stack, backend_url).run())
        tracebacks = {name: p.tracebacks() for name, p in stack.processes.items()}
    print(summary(outcome.kills, outcome.recovery_s, outcome.take_over_s, tracebacks))
    return outcome


def _options() -> Options:
    parser = argparse.ArgumentParser(description="Kill -9 every role under load and account.")
    parser.add_argument("--engine", choices=get_args(Engine), default="embedded")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--accepted", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--plant", choices=sorted(FAULTS))
    return Options(**vars(parser.parse_args()))


def main() -> None:
    """Drill; exit 0 only when every round passed."""
    # As Ctrl-C, so that the children are ended in order.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="penstock-drill-"))
    print(f"{options}\nlogs: {directory}", flush=True)
    outcome = drill(options, directory)
    for seed in outcome.failures:
        print(f"FAIL  replay: {options.replay(seed)}")
    if not outcome.failures:
        print("PASS")
    sys.exit(1 if outcome.failures else 0)


if __name__ == "__main__":
    main()
