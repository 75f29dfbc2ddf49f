"""The load client: one and the same for every system, in a process of its own.

    python -m benchmarks.client < jobs

Each line in is a Job, each line out its Outcome. Closed loop: every connection submits a request,
reads its result with `?wait=`, and begins the next. Every answer is checked.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import orjson
import uvloop

from benchmarks.raw_http import Connection, get, post

BODY_BYTES = 1024
_WAIT_S = 60
# No job takes this long: the process ends, and the benchmark with it.
_LIMIT_S = 600


class WrongAnswer(Exception):
    """A system answered something else than 202 and then a completed request."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send where."""

    port: int
    model: str
    requests: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job. Latencies are in ms from submit to result."""

    completed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    error: str | None = None


def submit_body(model: str) -> bytes:
    """Return the body of `POST /v1/requests`, of exactly BODY_BYTES."""
    message = {"role": "user", "content": ""}
    content: dict[str, Any] = {"body": {"model": model, "messages": [message], "max_tokens": 64}}
    message["content"] = "x" * (BODY_BYTES - len(orjson.dumps(content)))
    return orjson.dumps(content)


async def run(job: Job) -> Outcome:
    """Send a job's requests; the outcome tells of a wrong answer, if there was one."""
    latencies: list[float] = []
    left = iter(range(job.requests))
    request = post("/v1/requests", submit_body(job.model))
    opening = (Connection.open("127.0.0.1", job.port) for _ in range(job.in_flight))
    connections = await asyncio.gather(*opening)
    began = time.perf_counter()
    working = (_work(connection, request, left, latencies) for connection in connections)
    async with asyncio.timeout(_LIMIT_S):
        ends = await asyncio.gather(*working, return_exceptions=True)
    seconds = time.perf_counter() - began
    await asyncio.gather(*(connection.close() for connection in connections))
    if error := next((repr(end) for end in ends if end is not None), None):
        return Outcome(len(latencies), seconds, 0, 0, error)
    latencies.sort()
    p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    return Outcome(len(latencies), seconds, p50 * 1000, p99 * 1000)


async def _work(
    connection: Connection, request: bytes, left: Iterator[int], latencies: list[float]
) -> None:
    for _ in left:
        began = time.perf_counter()
        accepted = await connection.call(request)
        if accepted.status != 202:
            raise WrongAnswer(f"submit: {accepted.status} {accepted.body[:500]!r}")
        request_id = orjson.loads(accepted.body)["id"]
        told = await connection.call(get(f"/v1/requests/{request_id}?wait={_WAIT_S}"))
        latency = time.perf_counter() - began
        if told.status != 200:
            raise WrongAnswer(f"read: {told.status} {told.body[:500]!r}")
        seen = orjson.loads(told.body)
        if (seen["id"], seen["status"]) != (request_id, "completed"):
            raise WrongAnswer(f"read: {told.body[:500]!r}")
        latencies.append(latency)


def main() -> None:
    """Do the jobs of stdin one after the other."""
    for line in sys.stdin:
        outcome = uvloop.run(run(Job(**orjson.loads(line))))
        print(orjson.dumps(asdict(outcome)).decode(), flush=True)


if __name__ == "__main__":
    main()
