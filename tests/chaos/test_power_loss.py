"""Power loss of the embedded engine: whatever was answered is there afterwards (PROTOCOL 8, 9)."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from broker.claims import Run
from broker.embedded import connection, writer
from broker.embedded.database import FILE_NAME
from broker.embedded.engine import EmbeddedEngine
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Result
from tests.chaos.lossy_vfs import LossyDisk, lossy_disk
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

SEEDS = 200
_CHUNK = 25
_CLIENTS = 6


@dataclass
class Answers:
    """What callers were told before the power failed."""

    created: set[str] = field(default_factory=set)
    attempts: dict[str, int] = field(default_factory=dict)
    generations: dict[str, int] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)

    def lost_by(self, record: Record) -> list[str]:
        """Return what `record` no longer says."""
        result = self.results.get(record.id)
        kept = {
            "result": result is None or record.result == result,
            "attempt": record.attempt >= self.attempts.get(record.id, 0),
            "generation": record.generation >= self.generations.get(record.id, 0),
            "cancel": record.id not in self.cancelled or record.terminal,
            "turn": record.status is not Status.IN_PROGRESS,
        }
        return [part for part, is_kept in kept.items() if not is_kept]


@pytest.fixture(autouse=True)
def small_wal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the cut meet checkpoints as well."""
    monkeypatch.setattr(writer, "_CHECKPOINT_PAGES", 20)


@pytest.mark.parametrize("first", range(0, SEEDS, _CHUNK))
def test_what_was_answered_survives(tmp_path: Path, first: int) -> None:
    answered = 0
    for seed in range(first, first + _CHUNK):
        answers, lost = _one_life(tmp_path, seed)
        assert not lost, f"seed {seed}: {lost}"
        answered += len(answers.created)
    assert answered > _CHUNK, "the power must not fail before anything was answered"


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_this_test_notices_a_store_that_does_not_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, synchronous: str
) -> None:
    monkeypatch.setattr(connection, "SYNCHRONOUS", synchronous)
    for seed in range(_CHUNK):
        _, lost = _one_life(tmp_path, seed)
        if lost:
            return
    pytest.fail("nothing was lost, so this test would not notice a loss")


def test_this_test_notices_a_disk_that_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LossyDisk, "synced", lambda self, path: None)
    for seed in range(_CHUNK):
        _, lost = _one_life(tmp_path, seed)
        if lost:
            return
    pytest.fail("nothing was lost although no sync did anything")


def _one_life(directory: Path, seed: int) -> tuple[Answers, list[str]]:
    """Work until the power fails, come back on what the disk kept, and say what is missing."""
    dice = random.Random(seed)
    before, after = directory / f"{seed}-before", directory / f"{seed}-after"
    with lossy_disk() as disk:
        answers = asyncio.run(_until_the_cut(disk, before, dice))
        disk.restore_to(after, dice)
    return answers, _damage(after / FILE_NAME) or asyncio.run(_missing(after, answers))


async def _until_the_cut(disk: LossyDisk, directory: Path, dice: random.Random) -> Answers:
    answers = Answers()
    broken: list[str] = []
    engine = EmbeddedEngine(directory, 60, vfs=disk.vfs, on_broken=broken.append)
    await engine.start()
    disk.cut_after(dice.randrange(1, 400))
    clients = [_client(engine, answers, random.Random(dice.random())) for _ in range(_CLIENTS)]
    await asyncio.gather(*clients)
    disk.cut()
    await engine.stop()
    return answers


async def _client(engine: EmbeddedEngine, answers: Answers, dice: random.Random) -> None:
    """Take requests through their lives, noting each answer, until the store is gone."""
    with suppress(EngineError):
        for _ in range(40):
            envelope = make_envelope(body=dice.randbytes(dice.choice((10, 300, 9_000))))
            assert await engine.store.create(envelope)
            answers.created.add(envelope.id)
            for _ in range(dice.randrange(3)):
                envelope = await _attempt(engine, answers, envelope, dice)
                if envelope.id in answers.results:
                    break


async def _attempt(
    engine: EmbeddedEngine, answers: Answers, envelope: Envelope, dice: random.Random
) -> Envelope:
    """Claim, then finish, cancel or requeue; return the copy that waits after that."""
    claim = await engine.store.claim(envelope, make_slot())
    if not isinstance(claim, Run):
        return envelope
    answers.attempts[envelope.id] = claim.attempt
    fate = dice.random()
    if fate < 0.6:
        result = make_result(body=dice.randbytes(dice.choice((5, 200, 20_000))))
        finish = await engine.store.finish(envelope, result, claim.attempt, make_slot())
        assert finish.won
        answers.results[envelope.id] = result
    elif fate < 0.7:
        await engine.store.cancel(envelope.id)
        answers.cancelled.add(envelope.id)
    else:
        envelope = envelope.next_generation(0.0)
        assert await engine.store.requeue(envelope, claim.attempt)
        answers.generations[envelope.id] = envelope.generation
    return envelope


async def _missing(directory: Path, answers: Answers) -> list[str]:
    """Return what was answered and is not there."""
    engine = EmbeddedEngine(directory, 60)
    await engine.start()
    try:
        return await _compare(engine, answers)
    finally:
        await engine.stop()


async def _compare(engine: EmbeddedEngine, answers: Answers) -> list[str]:
    lost: list[str] = []
    for request_id in answers.created:
        record = await engine.store.get(request_id)
        if record is None:
            lost.append(f"{request_id} was accepted and is gone")
        else:
            lost += [f"{request_id} lost its {part}" for part in answers.lost_by(record)]
    return lost


def _damage(path: Path) -> list[str]:
    try:
        file = apsw.Connection(str(path))
        try:
            found = file.execute("PRAGMA integrity_check").get
        finally:
            file.close()
    except apsw.Error as error:
        return [f"the file cannot be read: {error}"]
    return [] if found == "ok" else [f"the file is damaged: {found}"]
