"""Batches as a test submits and reads them, and a hand that ends their lines as a worker does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from broker import large_bodies
from broker.claims import Late, Run
from broker.lifecycle import Tasks
from broker.ports import Delivery, Engine
from schemas.batches import Batch
from schemas.files import Part
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.fakes.batches import make_batch, make_file
from tests.fakes.results import make_result, make_slot
from workers.settlement import ended

# The models of `hand_for`, and what becomes of their lines.
GOOD, BAD, STUCK, IGNORED = "good", "bad", "stuck", "ignored"
MODELS = (GOOD, BAD, STUCK, IGNORED)


def lines_for(models: Iterable[str]) -> list[bytes]:
    """Return the lines of a file that asks these models, with the custom_ids c0, c1, …"""
    return [
        json.dumps(
            {
                "custom_id": f"c{number}",
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": model, "messages": [{"role": "user", "content": "ü"}]},
            }
        ).encode()
        for number, model in enumerate(models)
    ]


async def submit(engine: Engine, lines: Sequence[bytes], **terms: Any) -> Batch:
    """Upload a file and create a batch of it."""
    data = b"\n".join(lines)
    file = make_file(bytes=len(data))
    key = f"files/{file.id}"
    await engine.blobs.put(key, data)
    assert await engine.files.create(file, [Part(key, len(data))])
    batch = make_batch(input_file_id=file.id, **terms)
    assert await engine.batches.create(batch)
    return batch


async def now_of(engine: Engine, batch: Batch) -> Batch:
    """Return the batch as it is now."""
    found = await engine.batches.get(batch.id)
    assert found is not None
    return found


async def until(engine: Engine, batch: Batch, holds: Callable[[Batch], bool]) -> Batch:
    """Wait until a batch is so."""
    async with asyncio.timeout(60):
        while not holds(found := await now_of(engine, batch)):  # noqa: ASYNC110  because nothing wakes
            await asyncio.sleep(0.02)
    return found


async def told(engine: Engine, batch: Batch) -> Batch:
    """Wait until a batch has ended and that is told."""
    return await until(engine, batch, lambda now: now.told)


async def text_of(engine: Engine, file_id: str | None) -> bytes:
    """Return the bytes of a file; none where there is none."""
    if file_id is None:
        return b""
    return b"".join(
        [
            piece
            for part in await engine.files.parts(file_id)
            async for piece in engine.blobs.read(part.key)
        ]
    )


async def read(engine: Engine, file_id: str | None) -> list[dict[str, Any]]:
    """Return the lines of a batch's file."""
    return [json.loads(line) for line in (await text_of(engine, file_id)).splitlines()]


async def files_of(engine: Engine, batch: Batch) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the lines of the output and of the errors by custom_id: none twice, counts exact."""
    output = await read(engine, batch.output_file_id)
    errors = await read(engine, batch.error_file_id)
    ids = [line["custom_id"] for line in output + errors]
    assert len(ids) == len(set(ids)), ids
    counts = batch.counts
    assert (counts.completed, counts.failed) == (len(output), len(errors))
    codes = [line["error"]["code"] for line in errors]
    assert counts.expired == codes.count("batch_expired")
    assert counts.cancelled == codes.count("batch_cancelled") + codes.count("cancelled")
    by_id = [{line["custom_id"]: line for line in lines} for lines in (output, errors)]
    return by_id[0], by_id[1]


@asynccontextmanager
async def hand_for(
    engine: Engine, models: Iterable[str] = MODELS, answer_bytes: int = 0
) -> AsyncIterator[set[str]]:
    """Serve these models until the end of the block, with answers of so many bytes at least.

    The value is a set that grows: the ids of the requests that have ended here.
    """
    tasks, ended_here = Tasks("hand"), set[str]()

    async def serve(delivery: Delivery) -> None:
        if await _serve(engine, delivery, b"x" * answer_bytes):
            ended_here.add(delivery.envelope.id)

    def deliver(delivery: Delivery) -> None:
        tasks.spawn("serve", serve(delivery))

    consumers = [
        await engine.queue.consume(model, Priority.BATCH, lane, 50, deliver)
        for model in models
        if model != IGNORED
        for lane in Lane
    ]
    try:
        yield ended_here
    finally:
        await tasks.stop()
        for consumer in consumers:
            await consumer.stop()


async def _serve(engine: Engine, delivery: Delivery, padding: bytes) -> bool:
    """Run a request; tell whether it has ended thereby."""
    won = False
    envelope = delivery.envelope
    claim = await engine.store.claim(envelope, make_slot())
    if isinstance(claim, Late):
        await engine.store.finish(envelope, ended(Status.EXPIRED, "expired"), claim.attempt)
    elif isinstance(claim, Run):
        if envelope.model == STUCK:
            return False
        if envelope.model == BAD:
            result = make_result(
                Status.FAILED,
                code="backend_failed",
                message="no",
                status_code=400,
                body=b'{"error": {"message": "no"}}',
                finished_at=time.time(),
            )
        else:
            answer = {"id": envelope.id} | ({"padding": padding.decode()} if padding else {})
            result = make_result(body=json.dumps(answer).encode())
        result = await large_bodies.result_aside(
            engine, envelope.id, claim.attempt, result, 60, dead_letter=False
        )
        won = (await engine.store.finish(envelope, result, claim.attempt)).won
    await delivery.ack()
    return won
