"""Requests that wait before the workers start: accepted as a door accepts, but long ago."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.blobs.directory import DirectoryBlobs
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Engine
from broker.real import RealEngine
from schemas.config import MAX_DEADLINE_S
from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.priority import Lane, Priority
from schemas.record import Record
from schemas.tokens import input_tokens
from tests.fakes.stack import Setup

_AT_ONCE = 500
_RETENTION_S = 86_400
# So many of a tenant's requests wait in the open lane of a model and priority (PROTOCOL 2).
_OPEN = 32


@dataclass(frozen=True, slots=True)
class Old:
    """A request accepted at an instant that may lie in the past; `words` make its prompt longer."""

    model: str
    tenant: str
    priority: Priority
    accepted_at: float
    words: int = 1


def evenly(old: Old, count: int, until: float) -> list[Old]:
    """Return `count` requests like `old`, accepted evenly from its time to `until`."""
    step = (until - old.accepted_at) / max(1, count)
    return [
        Old(old.model, old.tenant, old.priority, old.accepted_at + step * number, old.words)
        for number in range(count)
    ]


def chat(model: str, tag: str, words: int = 1) -> dict[str, object]:
    """Return a chat body whose tokens, as the fake backend counts them, grow with `words`."""
    content = "word " * words
    messages = [{"role": "user", "content": content}]
    return {"model": model, "user": tag, "messages": messages, "max_tokens": 2}


def tokens_of(old: Old) -> int:
    """Return the tokens that the fake backend will say it used."""
    messages = chat(old.model, old.tenant, old.words)["messages"]
    return len(json.dumps(messages)) // 4 + 2


async def fill(engine: Engine, waiting: Iterable[Old]) -> list[Envelope]:
    """Accept `waiting` in this order; return their envelopes in it."""
    seen: Counter[tuple[str, str, Priority]] = Counter()
    envelopes = [_envelope(old, seen) for old in sorted(waiting, key=lambda old: old.accepted_at)]
    for start in range(0, len(envelopes), _AT_ONCE):
        # The order in which their tasks begin is their order in the queue.
        batch = envelopes[start : start + _AT_ONCE]
        await asyncio.gather(*(_accept(engine, envelope) for envelope in batch))
    return envelopes


async def filled(setup: Setup, data_dir: Path, waiting: Sequence[Old]) -> list[Envelope]:
    """Accept `waiting` on the engine of `setup` while nothing else runs on it."""
    engine = make_engine(setup, data_dir)
    await engine.start()
    try:
        return await fill(engine, waiting)
    finally:
        await engine.stop()


async def records(setup: Setup, data_dir: Path, ids: Sequence[str]) -> list[Record]:
    """Return the records of `ids`, which must be there, after everything else has stopped."""
    engine = make_engine(setup, data_dir)
    await engine.start()
    try:
        found = [await engine.store.get(request_id) for request_id in ids]
    finally:
        await engine.stop()
    return [record for record in found if record is not None]


def make_engine(setup: Setup, data_dir: Path) -> Engine:
    """Return an engine on the same parts as the processes of `setup`."""
    if setup.engine == "embedded":
        return EmbeddedEngine(data_dir, _RETENTION_S)
    assert setup.amqp_url is not None
    assert setup.redis_url is not None
    namespace = str(setup.server["namespace"])
    return RealEngine(
        setup.amqp_url,
        setup.redis_url,
        namespace=namespace,
        retention_s=_RETENTION_S,
        blobs=DirectoryBlobs(data_dir / "blobs"),
    )


def _envelope(old: Old, seen: Counter[tuple[str, str, Priority]]) -> Envelope:
    place = (old.model, old.tenant, old.priority)
    lane = Lane.OPEN if seen[place] < _OPEN else Lane.FLOOD
    seen[place] += 1
    body = json.dumps(chat(old.model, old.tenant, old.words)).encode()
    start = body.index(b'"model": ') + len(b'"model": ')
    return Envelope(
        id=new_request_id(),
        tenant=old.tenant,
        model=old.model,
        endpoint="/v1/chat/completions",
        priority=old.priority,
        accepted_at=old.accepted_at,
        deadline=old.accepted_at + MAX_DEADLINE_S,
        body=body,
        body_hash=hashlib.sha256(body).digest(),
        model_span=(start, start + len(json.dumps(old.model))),
        lane=lane,
        input_tokens=input_tokens(body),
        max_tokens=2,
    )


async def _accept(engine: Engine, envelope: Envelope) -> None:
    assert await engine.store.create(envelope)
    await engine.queue.publish(envelope)
    await engine.store.mark_published(envelope.id, envelope.generation)
