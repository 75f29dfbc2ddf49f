"""What Penstock adds to streamed tokens, beside streams straight from the backend, in one run.

    python -m benchmarks.streams [--engine real|embedded] [--streams 50] [--rounds 5]

Each token tells when the backend sent it. `first` is from the call to the first token; `between`
how much longer the pause before a token was for the reader than for the backend.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import get_args

import aiohttp
import orjson

from benchmarks.held_call import percentile, servers
from benchmarks.servers import wait_ready
from tests.fakes.process import Process
from tests.fakes.stack import Engine, Setup, Stack
from tests.servers.ports import reserve

TOKENS, PAUSE_MS = 100, 20
MODEL = f"tokens-{TOKENS}-{PAUSE_MS}"
BODY = {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": "x" * 900}]}
# Calls come one after the other within the first tokens of the first, as real ones do.
SPREAD_S = 1.0


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream as its reader saw it, in ms."""

    first: float
    between: Sequence[float]


async def read_stream(session: aiohttp.ClientSession, url: str, wait_s: float) -> Stream:
    """Read one stream to its end; every token must come, in order."""
    await asyncio.sleep(wait_s)
    called, sent, came = time.time(), [], []
    async with session.post(f"{url}/chat/completions", json=BODY) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data: {"):
                came.append(time.time())
                token = orjson.loads(line[6:])
                sent.append(token["sent_at"])
                assert token["choices"][0]["delta"]["content"] == f"w{len(came) - 1} "
    assert len(came) == TOKENS, len(came)
    pauses = zip(pairwise(came), pairwise(sent), strict=True)
    between = [((later - one) - (due - before)) * 1000 for (one, later), (before, due) in pauses]
    return Stream((came[0] - called) * 1000, between)


async def read_all(session: aiohttp.ClientSession, url: str, streams: int) -> list[Stream]:
    """Read so many streams at once."""
    waits = (SPREAD_S * number / streams for number in range(streams))
    return list(await asyncio.gather(*(read_stream(session, url, wait) for wait in waits)))


async def measure(direct: str, door: str, streams: int, rounds: int) -> None:
    """Alternate the two and print what is added."""
    firsts: list[float] = []
    betweens: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await read_all(session, f"{door}/v1", streams)
        for number in range(1, rounds + 1):
            plain = await read_all(session, f"{direct}/v1", streams)
            held = await read_all(session, f"{door}/v1", streams)
            first = _first(held) - _first(plain)
            between = _between(held) - _between(plain)
            firsts.append(first)
            betweens.append(between)
            print(
                f"round {number}  first p50: direct {_first(plain):6.2f}  held {_first(held):6.2f}"
                f"  added {first:6.2f} ms   between p99: direct {_between(plain):5.2f}"
                f"  held {_between(held):6.2f}  added {between:6.2f} ms",
                flush=True,
            )
    print(f"first token added p50: median {statistics.median(firsts):.2f} ms (aim 15)")
    print(f"between tokens added p99: median {statistics.median(betweens):.2f} ms (aim 10)")


def _first(streams: Sequence[Stream]) -> float:
    return percentile([stream.first for stream in streams], 0.5)


def _between(streams: Sequence[Stream]) -> float:
    return percentile([pause for stream in streams for pause in stream.between], 0.99)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=get_args(Engine), default="real")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    port = reserve()
    backend = Process(
        "backend", "benchmarks.token_backend", ["--port", str(port)], directory / "backend.log"
    )
    try:
        backend.start()
        wait_ready(port, backend)
        with servers(options.engine, directory) as (amqp_url, redis_url):
            setup = Setup(
                engine=options.engine,
                backends={"fake": {"urls": [f"http://127.0.0.1:{port}/v1"], "concurrency": 256}},
                models={MODEL: {"targets": [{"backend": "fake"}]}},
                workers=1,
                amqp_url=amqp_url,
                redis_url=redis_url,
            )
            with Stack(directory, setup) as stack:
                asyncio.run(
                    measure(f"http://127.0.0.1:{port}", stack.url, options.streams, options.rounds)
                )
    finally:
        backend.kill()


if __name__ == "__main__":
    main()
