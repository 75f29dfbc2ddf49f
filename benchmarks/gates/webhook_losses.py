"""Every completion is told to a receiver that fails at random, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from standardwebhooks import Webhook

from benchmarks.gates.figures import Figure
from benchmarks.gates.stage import Stage
from benchmarks.gates.webhook_stage import Hooked, hooked
from tests.fakes.receiver import Got

_FAILS_PERCENT = 30
_TIMEOUT_S = 2.0
# Twenty attempts: that all of one event fail by chance is one case in 10^10.
_RETRY_S = (0, *(0.5,) * 9, *(2.0,) * 10)
_DOWN_S = 0.5


@dataclass(frozen=True, slots=True)
class Size:
    """`patience_s` is the time for the last events to arrive after the last request was taken."""

    requests: int
    kills: int
    patience_s: float


SHORT = Size(requests=250, kills=3, patience_s=60)
LONG = Size(requests=10_000, kills=5, patience_s=300)


def measure(stage: Stage, size: Size) -> list[Figure]:
    """Return what was lost, what was signed wrongly, and how often an event had two ids."""
    with hooked(stage, _TIMEOUT_S, _RETRY_S) as running:
        secret = running.endpoint(f"flaky/{_FAILS_PERCENT}").secret
        ids, kills = asyncio.run(_submitted_while_killing(running, size))
        _wait_for_all(running, ids, size.patience_s)
        got = list(running.receiver.got)
    of_request: defaultdict[str, list[Got]] = defaultdict(list)
    for each in got:
        of_request[json.loads(each.body)["data"]["id"]].append(each)
    lost = [each for each in ids if not any(post.taken for post in of_request[each])]
    repeated = sum(sum(post.taken for post in posts) > 1 for posts in of_request.values())
    return [
        Figure("events that were lost", len(lost), low=0, high=0),
        Figure("posts whose signature is wrong", _wrong(got, secret), low=0, high=0),
        Figure("most ids of one event", _most_ids(of_request.values()), low=1, high=1),
        Figure("dispatchers killed", kills, low=size.kills, high=size.kills),
        Figure("posts for each event", len(got) / len(ids)),
        Figure("events that were taken twice", repeated),
    ]


async def _submitted_while_killing(running: Hooked, size: Size) -> tuple[list[str], int]:
    """Submit in as many parts as there are kills, and kill in the middle of each."""
    stack, ids, kills = running.stack, list[str](), 0
    workers = [name for name in stack.processes if not name.startswith("api")]
    for part in range(size.kills):
        count = size.requests // size.kills + (part < size.requests % size.kills)
        submitting = asyncio.create_task(running.submitted(count))
        await asyncio.sleep(_DOWN_S)
        victim = workers[part % len(workers)]
        await asyncio.to_thread(stack.kill, victim)
        kills += 1
        await asyncio.sleep(_DOWN_S)
        await asyncio.to_thread(stack.restart, victim)
        ids += await submitting
    return ids, kills


def _wait_for_all(running: Hooked, ids: Sequence[str], patience_s: float) -> None:
    ends_at = time.monotonic() + patience_s
    while time.monotonic() < ends_at:
        if sum(each.taken for each in running.receiver.got) >= len(ids):
            taken = {json.loads(e.body)["data"]["id"] for e in running.receiver.got if e.taken}
            if taken >= set(ids):
                return
        time.sleep(0.5)


def _wrong(got: Sequence[Got], secret: str) -> int:
    """Count by the foreign implementation; it would refuse old ones, so it signs again."""
    signer, wrong = Webhook(secret), 0
    for each in got:
        at = datetime.fromtimestamp(int(each.headers["webhook-timestamp"]), UTC)
        expected = signer.sign(each.id, at, each.body.decode())
        wrong += each.headers["webhook-signature"] != expected
    return wrong


def _most_ids(posts: Iterable[Sequence[Got]]) -> int:
    return max(len({each.id for each in some}) for some in posts if some)
