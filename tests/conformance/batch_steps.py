"""The few steps that most suites of batches begin with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from broker.claims import Late, Run
from broker.ports import Gathered, Held, Validated
from schemas.batches import Batch, BatchStatus, BatchUsage, Counts
from schemas.envelope import Envelope
from schemas.files import Part
from schemas.ids import line_id
from schemas.lifecycle import Status
from tests.conformance.stages import Process
from tests.conformance.steps import record_of
from tests.fakes.batches import make_batch, make_line
from tests.fakes.results import make_result, make_slot

MUCH = 1_000_000
FAR = 10_000


async def created(engine: Process, **changes: Any) -> Batch:
    """Create a batch, as a door does."""
    batch = make_batch(**changes)
    assert await engine.batches.create(batch)
    return batch


async def held(engine: Process, **changes: Any) -> Held:
    """Create a batch and hold it."""
    batch = await created(engine, **changes)
    found = await engine.batches.hold(batch.id)
    assert found is not None
    return found


async def in_progress(engine: Process, total: int = 1_000, **changes: Any) -> Held:
    """Create a batch, hold it and find its file good."""
    found = await held(engine, **changes)
    assert await engine.batches.validated(
        found.batch.id, found.token, Validated(total, "m"), time.time()
    )
    return found


async def taken_over(engine: Process, old: Held) -> Held:
    """Give up a hold and take it anew, as another process does."""
    await engine.batches.let_go(old.batch.id, old.token)
    new = await engine.batches.hold(old.batch.id)
    assert new is not None
    assert new.token > old.token
    return new


async def fed(engine: Process, run: Held, *lines: int) -> list[Envelope]:
    """Feed these lines, of which each is new."""
    envelopes = [make_line(run.batch, line) for line in lines]
    flags = await engine.batches.feed(run.batch.id, run.token, envelopes)
    assert flags is not None
    assert list(flags) == [True] * len(envelopes)
    return envelopes


async def fed_and_ended(engine: Process, run: Held, *lines: int, **result: Any) -> list[Envelope]:
    """Feed these lines, and let a worker end each of them."""
    envelopes = await fed(engine, run, *lines)
    for envelope in envelopes:
        await by_commit(engine, envelope, **result)
    return envelopes


async def by_commit(engine: Process, envelope: Envelope, **result: Any) -> Status:
    """Let a worker run it and commit its result."""
    claimed = await engine.store.claim(envelope, make_slot())
    assert isinstance(claimed, Run)
    finish = await engine.store.finish(envelope, make_result(**result), claimed.attempt)
    assert finish.won
    return Status.COMPLETED


async def by_failure(engine: Process, envelope: Envelope) -> Status:
    """Let a worker run it in vain."""
    await by_commit(engine, envelope, status=Status.FAILED)
    return Status.FAILED


async def by_cancel(engine: Process, envelope: Envelope) -> Status:
    """Cancel it."""
    record = await engine.store.cancel(envelope.id)
    assert record is not None
    assert record.status is Status.CANCELLED
    return Status.CANCELLED


async def by_the_keeper(engine: Process, envelope: Envelope) -> Status:
    """Let the keeper end it."""
    seen = await record_of(engine, envelope)
    assert await engine.upkeep.end(seen, make_result(Status.FAILED, code="copy_lost"))
    return Status.FAILED


async def by_its_deadline(engine: Process, envelope: Envelope) -> Status:
    """Let a worker meet it too late; its deadline has to be over."""
    assert await engine.store.claim(envelope, make_slot()) == Late(0)
    assert (await engine.store.finish(envelope, make_result(Status.EXPIRED), 0)).won
    return Status.EXPIRED


async def ended_lines(engine: Process, batch: Batch) -> list[int]:
    """Return the lines that `ends` gives, in its order."""
    return [each.line for each in await engine.batches.ends(batch.id, FAR, MUCH)]


async def known(engine: Process, batch: Batch) -> Batch:
    """Return a batch that must be there."""
    found = await engine.batches.get(batch.id)
    assert found is not None
    return found


async def moved(engine: Process, run: Held, *states: BatchStatus) -> None:
    """Let a batch enter these states, one after the other."""
    for status in states:
        assert await engine.batches.move(run.batch.id, run.token, status, time.time())


def a_part(run: Held, kind: str = "output", number: int = 1, size: int = 10) -> Part:
    """Return a part as the gatherer names it."""
    return Part(f"batches/{run.batch.id}/{kind}/{run.token}-{number}", size)


def a_step(run: Held, *lines: int, number: int = 1, **changes: Any) -> Gathered:
    """Return a step that writes these lines as completed."""
    fields: dict[str, Any] = {
        "counts": Counts(completed=len(lines)),
        "usage": BatchUsage(),
        "rate": 0.0,
        "output": a_part(run, number=number),
    }
    return Gathered(lines, **{**fields, **changes})


async def gathered(engine: Process, run: Held, *lines: int, **changes: Any) -> bool:
    """Gather these lines as completed."""
    return await engine.batches.gathered(run.batch.id, run.token, a_step(run, *lines, **changes))


async def there(engine: Process, run: Held, lines: Sequence[int]) -> list[int]:
    """Return which of these lines have a record that can be read."""
    found = [(each, await engine.store.get(line_id(run.batch.id, each))) for each in lines]
    return [each for each, record in found if record is not None]
