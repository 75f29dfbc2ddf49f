"""Act two: `kill -9` while accepted requests wait and run, a restart, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from rich.console import Console

from demo.claims import DemoError, claim
from demo.requests import Requests
from demo.stage import Stage

_COUNT = 10
_MAX_TOKENS = 8
_STATES = ("completed", "in_progress", "queued")
_WITHIN_S = 60.0


async def play(stage: Stage, out: Console) -> None:
    """Run the act and print it. Raises DemoError."""
    async with Requests(stage.url) as requests:
        answers = [await requests.submit(n, "normal", _MAX_TOKENS) for n in range(_COUNT)]
        accepted = [request_id for status, request_id in answers if status == 202]
        claim(
            out,
            len(accepted) == _COUNT,
            f"{_COUNT} of {_COUNT} accepted with 202",
            f"Only {len(accepted)} of {_COUNT} requests were accepted.",
        )
        seen = await _seen_in_every_state(requests, accepted)
        before = {
            request_id: await requests.result_hash(request_id)
            for request_id, status in seen.items()
            if status == "completed"
        }
    stage.kill_penstock()
    killed_at = time.time()
    counts = Counter(seen.values())
    told = ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in _STATES)
    out.print(f"  kill -9, with {told}", highlight=False)
    began = time.monotonic()
    await stage.start_penstock()
    out.print(f"  restarted and ready in {time.monotonic() - began:.1f} s", highlight=False)
    await _check(stage, out, accepted, before, killed_at)


async def _seen_in_every_state(requests: Requests, ids: list[str]) -> dict[str, str]:
    """Return each request's status at a moment when some had ended, some ran and some waited."""
    until = time.monotonic() + _WITHIN_S
    while time.monotonic() < until:
        objects = await asyncio.gather(*(requests.get(request_id) for request_id in ids))
        seen = {str(o["id"]): str(o["status"]) for o in objects}
        if all(state in seen.values() for state in _STATES):
            return seen
        await asyncio.sleep(0.02)
    raise DemoError("The requests were at no moment completed, running and waiting all at once.")


async def _check(
    stage: Stage, out: Console, ids: list[str], before: dict[str, str], killed_at: float
) -> None:
    async with Requests(stage.url) as requests:
        ended = await requests.all_ended(ids, lambda: None)
        done = sum(o["status"] == "completed" for o in ended)
        later = sum(o["finished_at"] > killed_at for o in ended)
        again = sum(o["attempts"] > 1 for o in ended)
        claim(
            out,
            done == _COUNT,
            f"{done} of {_COUNT} completed: {later} after the restart, {again} in a second attempt",
            f"Only {done} of the {_COUNT} accepted requests were completed after the restart.",
        )
        first = {request_id: await requests.result_hash(request_id) for request_id in ids}
        second = {request_id: await requests.result_hash(request_id) for request_id in ids}
    claim(
        out,
        first == second and before.items() <= first.items(),
        "every result read twice, or before the kill: the same SHA-256 each time",
        "A result was not the same when it was read again.",
    )
