"""Adaptive concurrency against a replica whose capacity halves and then doubles.

    python -m benchmarks.adaptive [--virtual]

Real calls over HTTP by the workers' own code, saturated all the time; with `--virtual` the same
policy on a virtual clock, in seconds. Exit 0 even if an aim is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections.abc import Iterable, Sequence

from aiohttp import web
from rich.console import Console
from rich.table import Table

from benchmarks.virtual_replica import Capacity, Log, Mode, Report, reports, simulate
from broker.lifecycle import Tasks
from broker.ports import Reservation
from schemas.config import BackendConfig
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.limits import AdaptiveConcurrency
from schemas.priority import Priority
from workers.backends.port import CallFailed
from workers.calling import call
from workers.inflight import InFlight
from workers.upstreams import Upstream, Upstreams

AIM_SHARE, AIM_REFUSED = 0.9, 0.01
BOUNDS = AdaptiveConcurrency(min=2, max=200)
SERVICE_S = 0.5
_TOKENS = 100
_WIDTH = 110


class Replica:
    """A fake backend that serves so many calls at once, and refuses or slows down beyond that."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.capacity = 1
        self.url = ""
        self._served = 0
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._serve)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)

    async def start(self) -> None:
        """Listen on a port of the loopback."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Close every connection."""
        await self._runner.cleanup()

    async def _serve(self, _request: web.Request) -> web.Response:
        if self.mode is Mode.REFUSES and self._served >= self.capacity:
            return web.json_response({"error": {"message": "too many"}}, status=429)
        self._served += 1
        try:
            load = self._served / self.capacity if self.mode is Mode.SLOWS else 1.0
            alone = SERVICE_S * max(0.05, random.gauss(1, 0.2))
            await asyncio.sleep(alone * max(1.0, load))
        finally:
            self._served -= 1
        usage = {"prompt_tokens": 1, "completion_tokens": _TOKENS}
        return web.json_response({"choices": [], "usage": usage})


class Load:
    """Calls a backend as often as its replicas have room, and logs how each call went."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._room = asyncio.Event()
        self._calls = Tasks("calls")
        self._began = time.monotonic()
        self.log = Log()

    async def run(self) -> None:
        """Call until cancelled."""
        self._upstream.replicas.on_room(self._room.set)
        try:
            while True:
                self._room.clear()
                # Each is begun at once, or the room would be there a second time.
                while (url := self._upstream.replicas.choose()) is not None:
                    self._calls.spawn("call", self._one(url))
                    await asyncio.sleep(0)
                await self._room.wait()
        finally:
            await self._calls.stop()

    async def _one(self, url: str) -> None:
        run = InFlight(_envelope(), Reservation(self._upstream.name, "benchmark"), [])
        began = time.monotonic()
        try:
            await call(run, self._upstream, url, "m", writer=None)
        except CallFailed:
            self.log.refused.append(time.monotonic() - self._began)
        else:
            self.log.answered.append(time.monotonic() - self._began)
            self.log.took.append(time.monotonic() - began)


async def measured(phases: Sequence[Capacity], mode: Mode) -> list[Report]:
    """Run the phases in real time."""
    replica, upstreams, load_tasks = Replica(mode), Upstreams(), Tasks("load")
    replica.capacity = phases[0].calls
    await replica.start()
    upstreams.apply({"b": BackendConfig(urls=[replica.url], concurrency=BOUNDS)})
    load = Load(upstreams["b"])
    load_tasks.spawn("load", load.run())
    try:
        for phase in phases:
            replica.capacity = phase.calls
            await asyncio.sleep(phase.seconds)
    finally:
        await load_tasks.stop()
        await upstreams.close()
        await replica.stop()
    return reports(load.log, phases, SERVICE_S)


def show(rows: Iterable[tuple[Mode, Report]], out: Console) -> None:
    """Print the reports and whether the aims are met."""
    table = Table(box=None)
    for name in (
        "mode",
        "capacity",
        "of ideal",
        "90 % after",
        "settled",
        "refused",
        "call ÷ alone",
        "",
    ):
        table.add_column(name, justify="left" if name == "mode" else "right")
    for mode, row in rows:
        after = "never" if row.reached_after_s is None else f"{row.reached_after_s:.0f} s"
        met = row.settled_share >= AIM_SHARE and row.refused_share < AIM_REFUSED
        met = met and row.reached_after_s is not None
        table.add_row(
            mode.value,
            str(row.capacity),
            f"{row.share:.3f}",
            after,
            f"{row.settled_share:.3f}",
            f"{row.refused_share:.2%}",
            f"{row.stretch:.2f}",
            "met" if met else "missed",
        )
    out.print(table)
    out.print(
        f"aims: {AIM_SHARE:.0%} of ideal within the phase, then less than {AIM_REFUSED:.0%} of the "
        "attempts refused; the last four columns are of the second half"
    )


def _envelope() -> Envelope:
    now = time.time()
    return Envelope(
        id=new_request_id(),
        tenant="benchmark",
        model="m",
        endpoint="/v1/chat/completions",
        priority=Priority.NORMAL,
        accepted_at=now,
        deadline=now + 3_600,
        body=b'{"model": "m", "messages": []}',
        body_hash=b"",
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adaptive", description=__doc__)
    parser.add_argument("--virtual", action="store_true", help="on a virtual clock")
    parser.add_argument("--seconds", type=float, default=60, help="of each phase")
    parser.add_argument("--capacity", type=int, default=40, help="calls at once")
    options = parser.parse_args()
    whole, half = options.capacity, max(1, options.capacity // 2)
    phases = [Capacity(options.seconds, calls) for calls in (whole, half, whole)]
    rows = []
    for mode in Mode:
        if options.virtual:
            found = simulate(phases, mode, BOUNDS.min, BOUNDS.max, SERVICE_S)
        else:
            found = asyncio.run(measured(phases, mode))
        rows += [(mode, each) for each in found]
    out = Console()
    if not out.is_terminal:
        out.width = _WIDTH
    show(rows, out)


if __name__ == "__main__":
    main()
