"""Memory is flat: what our processes need does not grow with how much waits.

`python -m tests.chaos.memory --engine embedded|real` measures 1,000 and 100,000 waiting requests.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import aiohttp

from tests.chaos.client import Client
from tests.fakes.stack import Engine, Setup, Stack, backend_process

MODEL = "hang"
SUBMITTERS = 16
GATE_KIB = 10 * 1024
# After the last submit: whatever is only passing through (windows, batches, caches) calms down.
CALM_S = 5.0
SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """PSS by process, in KiB, with this many requests waiting."""

    waiting: int
    pss_kib: dict[str, int]

    @property
    def total(self) -> int:
        """All our processes together."""
        return sum(self.pss_kib.values())


def measure(engine: Engine, counts: list[int], directory: Path) -> list[Reading]:
    """Return a reading at each number of waiting requests; the model never answers."""
    with backend_process(directory) as (url, _):
        setup = Setup(
            engine=engine,
            backends={"fake": {"urls": [f"{url}/v1"], "concurrency": 1, "timeout_s": 3_600}},
            models={MODEL: {"targets": [{"backend": "fake"}]}},
            workers=1,
        )
        with Stack(directory, setup) as stack:
            return asyncio.run(_readings(stack, counts))


def growth_kib(readings: list[Reading]) -> dict[str, int]:
    """Return by process how much the last reading is above the first."""
    first, last = readings[0].pss_kib, readings[-1].pss_kib
    return {name: last[name] - first[name] for name in first}


async def _readings(stack: Stack, counts: list[int]) -> list[Reading]:
    readings, waiting = [], 0
    connector = aiohttp.TCPConnector(limit=SUBMITTERS)
    async with aiohttp.ClientSession(connector=connector) as session:
        client = Client(session, stack.urls, MODEL)
        for count in counts:
            began = time.monotonic()
            await _submit(client, count - waiting)
            rate = (count - waiting) / (time.monotonic() - began)
            waiting = count
            readings.append(await _reading(stack, waiting))
            print(f"{waiting:>7} waiting ({rate:.0f}/s): {_words(readings[-1])}", flush=True)
    return readings


async def _submit(client: Client, count: int) -> None:
    numbers = iter(range(count))
    url = f"{client.urls[0]}/v1/requests"

    async def submitter() -> None:
        for number in numbers:
            asked = {"body": client.body(f"m{number}"), "priority": "normal"}
            async with client.session.post(url, json=asked) as answer:
                await answer.read()
                assert answer.status == 202, answer.status

    await asyncio.gather(*(submitter() for _ in range(SUBMITTERS)))


async def _reading(stack: Stack, waiting: int) -> Reading:
    """Take the lowest of a few samples: a passing peak is not what the waiting ones cost."""
    await asyncio.sleep(CALM_S)
    lowest: dict[str, int] = {}
    for _ in range(SAMPLES):
        for name, process in stack.processes.items():
            now = process.memory_kib("Pss")
            lowest[name] = min(now, lowest.get(name, now))
        await asyncio.sleep(0.5)
    return Reading(waiting, lowest)


def _words(reading: Reading) -> str:
    parts = (f"{name} {kib / 1024:.1f} MiB" for name, kib in reading.pss_kib.items())
    return f"PSS {reading.total / 1024:.1f} MiB ({', '.join(parts)})"


def main() -> None:
    """Measure; exit 0 only within the gate."""
    parser = argparse.ArgumentParser(description="PSS with few and with many waiting requests.")
    parser.add_argument("--engine", choices=get_args(Engine), default="embedded")
    parser.add_argument("--counts", default="1000,100000")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-memory-"))
    counts = [int(count) for count in options.counts.split(",")]
    grown = growth_kib(measure(options.engine, counts, directory))
    print(f"growth in KiB: {grown}, gate {GATE_KIB} for each process; logs: {directory}")
    passed = max(grown.values()) <= GATE_KIB
    print("PASS" if passed else "FAIL")
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
