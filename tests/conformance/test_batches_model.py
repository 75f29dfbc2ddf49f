"""Feeders and gatherers that die, stall and take over: every line is written exactly once.

Whoever has lost its hold goes on as if it had not, at any time; copies of messages come late and
twice; workers die. What a runner stores as a blob counts only where the batch's files name it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from broker.claims import Done, Run, Running
from broker.ports import EndedLine, Gathered, Held
from schemas.batches import BatchStatus, BatchUsage, Counts, Cursor
from schemas.envelope import Envelope
from schemas.files import Part
from schemas.ids import batch_file_id
from schemas.lifecycle import Status
from tests.conformance.batch_steps import a_part, in_progress, known, moved, taken_over
from tests.conformance.stages import Process
from tests.conformance.steps import outbox
from tests.fakes.batches import make_line
from tests.fakes.results import make_result, make_slot

_LINES, _STEPS = 60, 300
_FED_AT_ONCE = 5
_FAILED = (Status.FAILED, Status.CANCELLED)


@dataclass
class Runner:
    """One that holds the batch, or once did and does not know."""

    held: Held
    cursor: int
    parts: int = 0
    last: Gathered | None = None


@dataclass
class Walk:
    """Random steps of several runners, of workers and of an operator on one batch."""

    engine: Process
    chance: random.Random
    runners: list[Runner]
    copies: list[Envelope] = field(default_factory=list)
    running: list[tuple[Envelope, int]] = field(default_factory=list)
    stalled: list[tuple[Envelope, int]] = field(default_factory=list)
    blobs: dict[str, list[int]] = field(default_factory=dict)

    @property
    def newest(self) -> Runner:
        return self.runners[-1]

    @property
    def batch_id(self) -> str:
        return self.newest.held.batch.id

    async def take_over(self) -> None:
        held = await taken_over(self.engine, self.newest.held)
        self.runners.append(Runner(held, held.batch.fed.line))

    async def feed(self) -> None:
        await self._feed(self.chance.choice(self.runners[-3:]), dies=self.chance.random() < 0.2)

    async def gather(self) -> None:
        await self._gather(self.chance.choice(self.runners[-3:]))

    async def gather_again(self) -> None:
        """The answer of the last step was lost."""
        runner = self.chance.choice(self.runners[-3:])
        if runner.last is not None:
            before = await known(self.engine, runner.held.batch)
            taken = await self.engine.batches.gathered(
                self.batch_id, runner.held.token, runner.last
            )
            assert taken == (runner is self.newest)
            assert await known(self.engine, runner.held.batch) == before

    async def claim(self) -> None:
        if not self.copies:
            return
        copy = self.copies.pop(self.chance.randrange(len(self.copies)))
        answer = await self.engine.store.claim(copy, make_slot())
        if isinstance(answer, Run):
            self.running.append((copy, answer.attempt))
        if isinstance(answer, Running) or self.chance.random() < 0.2:
            self.copies.append(copy)  # it comes again
        assert isinstance(answer, Run | Running | Done)

    async def finish(self) -> None:
        if self.running:
            line, attempt = self.running.pop(self.chance.randrange(len(self.running)))
            status = self.chance.choice((Status.COMPLETED, Status.FAILED))
            await self.engine.store.finish(line, make_result(status), attempt)
            if self.chance.random() < 0.2:
                self.stalled.append((line, attempt))  # it knows no answer

    async def worker_dies(self) -> None:
        if self.running:
            line, attempt = self.running.pop(self.chance.randrange(len(self.running)))
            self.stalled.append((line, attempt))
            if await self.engine.upkeep.release(line.id, self.engine.owner):
                self.copies.append(line)

    async def commit_late(self) -> None:
        if self.stalled:
            line, attempt = self.stalled.pop(self.chance.randrange(len(self.stalled)))
            await self.engine.store.finish(line, make_result(), attempt)

    async def cancel(self) -> None:
        line = make_line(self.newest.held.batch, self.chance.randrange(_LINES))
        await self.engine.store.cancel(line.id)

    async def come_to_rest(self, *, fed_to: int) -> None:
        """Let the last runner do what is left, while workers do theirs."""
        await self.take_over()
        while self.newest.cursor < fed_to:
            await self._feed(self.newest, dies=False)
        while self.copies or self.running:
            await self.claim()
            await self.finish()
            await self.commit_late()
        for line in await self.engine.batches.unended(self.batch_id):
            await self.engine.store.cancel(make_line(self.newest.held.batch, line).id)
        while await self.engine.batches.ends(self.batch_id, 1, 1):
            await self._gather(self.newest)
        while self.stalled:
            await self.commit_late()

    async def written(self) -> tuple[list[int], list[int]]:
        """Return the lines in the output and in the errors, as the files name their parts."""
        files = [batch_file_id(self.batch_id, kind) for kind in ("output", "errors")]
        parts = [await self.engine.files.parts(each) for each in files]
        output, errors = ([n for part in each for n in self.blobs[part.key]] for each in parts)
        return output, errors

    async def _feed(self, runner: Runner, *, dies: bool) -> None:
        some = range(runner.cursor, min(_LINES, runner.cursor + _FED_AT_ONCE))
        lines = [make_line(runner.held.batch, number) for number in some]
        token = runner.held.token
        flags = await self.engine.batches.feed(self.batch_id, token, lines)
        if flags is None:
            return
        assert runner is self.newest
        self.copies += [line for line, new in zip(lines, flags, strict=True) if new]
        if dies:
            return
        runner.cursor += len(lines)
        cursor = Cursor(runner.cursor, runner.cursor * 10, runner.cursor)
        assert await self.engine.batches.fed(self.batch_id, token, cursor)

    async def _gather(self, runner: Runner) -> None:
        ends = await self.engine.batches.ends(self.batch_id, 10, 1_000)
        if not ends:
            return
        runner.parts += 1
        runner.last = step = self._step(runner, ends)
        before = await known(self.engine, runner.held.batch)
        taken = await self.engine.batches.gathered(self.batch_id, runner.held.token, step)
        after = await known(self.engine, runner.held.batch)
        assert taken == (runner is self.newest)
        assert after.counts == (before.counts + step.counts if taken else before.counts)

    def _step(self, runner: Runner, ends: Sequence[EndedLine]) -> Gathered:
        failed = [each.line for each in ends if each.record.status in _FAILED]
        completed = [each.line for each in ends if each.record.status is Status.COMPLETED]
        return Gathered(
            [each.line for each in ends],
            Counts(len(completed), len(failed)),
            BatchUsage(),
            0.0,
            self._stored(runner, "output", completed),
            self._stored(runner, "errors", failed),
            failed,
        )

    def _stored(self, runner: Runner, kind: str, lines: list[int]) -> Part | None:
        if not lines:
            return None
        part = a_part(runner.held, kind, runner.parts)
        self.blobs[part.key] = lines
        return part


Act = Callable[[], Awaitable[None]]


async def _walk(engine: Process, seed: int, order: str) -> Walk:
    held = await in_progress(engine, _LINES, order=order)
    walk = Walk(engine, random.Random(seed), [Runner(held, 0)])
    acts: list[tuple[Act, int]] = [
        (walk.take_over, 2),
        (walk.feed, 6),
        (walk.gather, 5),
        (walk.gather_again, 2),
        (walk.claim, 12),
        (walk.finish, 12),
        (walk.worker_dies, 2),
        (walk.commit_late, 1),
        (walk.cancel, 1),
    ]
    chosen = walk.chance.choices([act for act, _ in acts], [weight for _, weight in acts], k=_STEPS)
    for act in chosen:
        await act()
    assert len(walk.runners) > 5
    return walk


@pytest.mark.parametrize("order", ["completion", "input"])
@pytest.mark.parametrize("seed", range(2))
async def test_every_line_is_written_once(engine: Process, seed: int, order: str) -> None:
    walk = await _walk(engine, seed, order)
    await walk.come_to_rest(fed_to=_LINES)
    output, errors = await walk.written()
    assert sorted(output + errors) == list(range(_LINES))
    if order == "input":
        assert (output, errors) == (sorted(output), sorted(errors))
    batch = await known(engine, walk.newest.held.batch)
    assert (batch.counts, batch.made) == (Counts(len(output), len(errors)), _LINES)
    await _assert_at_rest(walk, _LINES, errors)


@pytest.mark.parametrize("seed", range(2))
async def test_of_a_cancelled_batch_what_was_started_is_written_once(
    engine: Process, seed: int
) -> None:
    walk = await _walk(engine, seed, "completion")
    await engine.batches.cancel(walk.batch_id, time.time())
    await walk.come_to_rest(fed_to=0)
    batch = await known(engine, walk.newest.held.batch)
    output, errors = await walk.written()
    assert sorted(output + errors) == list(range(batch.made))
    assert batch.counts == Counts(len(output), len(errors))
    await moved(engine, walk.newest.held, BatchStatus.CANCELLED)
    await _assert_at_rest(walk, batch.made, errors)


async def _assert_at_rest(walk: Walk, started: int, errors: list[int]) -> None:
    engine = walk.engine
    assert list(await engine.batches.unended(walk.batch_id)) == []
    assert await engine.store.open_count("acme") == 0
    assert await engine.store.waiting_models() == []
    bits = int.from_bytes(await engine.batches.failed_lines(walk.batch_id), "big")
    assert bits.bit_count() == len(errors)
    ended = [entry.request_id for entry in await outbox(engine)]
    assert len(ended) == len(set(ended)) == started, "an end was told twice, or not at all"
