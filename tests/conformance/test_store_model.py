"""The embedded store against a model of three lines: random lives, with restarts in between.

What must hold: no request is lost, none ends twice, only the newest copy and the current attempt
of the living owner move it.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from broker.claims import Done, Run, Running
from broker.embedded import connection
from broker.embedded.engine import EmbeddedEngine
from schemas.envelope import Envelope
from schemas.lifecycle import TERMINAL, Status
from schemas.priority import Priority
from schemas.result import Result
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot

T = TypeVar("T")
ENDS = st.sampled_from([Status.COMPLETED, Status.FAILED, Status.EXPIRED])
GENERATIONS = st.integers(-1, 1)
# With few requests the steps meet each other.
FEW = 3


@dataclass
class Modelled:
    """One request as the model has it."""

    envelope: Envelope
    status: Status = Status.QUEUED
    generation: int = 0
    attempt: int = 0
    poison: int = 0
    witnessed: int = -1
    result: Result | None = None

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    def end(self, result: Result) -> None:
        assert not self.ended, "an end is final"
        self.status, self.result = result.status, result

    def wait_again(self, *, died: bool) -> None:
        self.poison += died and self.witnessed == self.attempt
        self.status = Status.QUEUED

    def message(self, newer_by: int) -> Envelope:
        return replace(self.envelope, generation=max(0, self.generation + newer_by))


class StoreAndModel(RuleBasedStateMachine):
    """Every rule does one step on both and compares the answers."""

    requests: Bundle[str] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.model: dict[str, Modelled] = {}
        self.engine = self._open()

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(step)

    def _open(self) -> EmbeddedEngine:
        # A restart is no power loss, and syncs would take most of the time.
        synchronous, connection.SYNCHRONOUS = connection.SYNCHRONOUS, "OFF"
        try:
            engine = EmbeddedEngine(Path(self.directory.name), 3_600)
            self.run(engine.start())
        finally:
            connection.SYNCHRONOUS = synchronous
        return engine

    @precondition(lambda self: len(self.model) < FEW)
    @rule(target=requests)
    def create(self) -> str:
        envelope = make_envelope()
        assert self.run(self.engine.store.create(envelope))
        self.model[envelope.id] = Modelled(envelope)
        return envelope.id

    @rule(request=requests)
    def create_again(self, request: str) -> None:
        other = replace(self.model[request].envelope, body=b"{}")
        assert not self.run(self.engine.store.create(other))

    @rule(request=requests, newer_by=GENERATIONS)
    def claim(self, request: str, newer_by: int) -> None:
        known = self.model[request]
        message = known.message(newer_by)
        answer = self.run(self.engine.store.claim(message, make_slot()))
        if known.ended or message.generation < known.generation:
            assert answer == Done()
        elif known.status is Status.IN_PROGRESS:
            same = message.generation == known.generation
            assert answer == Running(self.engine.owner, known.attempt, same, known.poison)
        else:
            known.status, known.generation = Status.IN_PROGRESS, message.generation
            known.attempt += 1
            assert answer == Run(known.attempt, known.poison)

    @rule(request=requests)
    def take_over_from_a_stranger(self, request: str) -> None:
        known = self.model[request]
        if known.status is Status.IN_PROGRESS:
            answer = self.run(
                self.engine.store.take_over(known.message(0), "embedded:0", make_slot())
            )
            assert isinstance(answer, Running)

    @rule(request=requests, off_by=st.integers(-1, 1), retry=st.booleans())
    def requeue(self, request: str, off_by: int, retry: bool) -> None:
        known = self.model[request]
        message = known.message(1 if retry else 0)
        answer = self.run(self.engine.store.requeue(message, known.attempt + off_by))
        if known.status is Status.IN_PROGRESS and off_by == 0:
            assert answer
            known.generation = message.generation
            known.wait_again(died=False)
        else:
            waits_so = known.status is Status.QUEUED and not retry and off_by == 0
            assert answer == waits_so

    @rule(request=requests)
    def witness(self, request: str) -> None:
        known = self.model[request]
        assert self.run(self.engine.store.witness([request])) == {request: known.status}
        if known.status is Status.IN_PROGRESS:
            known.witnessed = known.attempt

    @rule(request=requests)
    def release(self, request: str) -> None:
        known = self.model[request]
        answer = self.run(self.engine.upkeep.release(request, self.engine.owner))
        assert answer == (known.status is Status.IN_PROGRESS)
        if answer:
            known.wait_again(died=True)

    @rule(request=requests, off_by=st.integers(-1, 1), status=ENDS)
    def finish(self, request: str, off_by: int, status: Status) -> None:
        known, result = self.model[request], make_result(status)
        attempt = known.attempt + off_by
        answer = self.run(self.engine.store.finish(known.message(0), result, attempt))
        current = off_by == 0 or known.status is Status.QUEUED
        wins = not known.ended and off_by >= 0 and (status is not Status.FAILED or current)
        assert answer.won == wins
        if wins:
            known.end(result)
            known.attempt = attempt
        assert answer.result == known.result

    @rule(request=requests)
    def cancel(self, request: str) -> None:
        known = self.model[request]
        record = self.run(self.engine.store.cancel(request))
        assert record is not None
        if not known.ended:
            assert record.result is not None
            known.end(record.result)
        assert record.status is known.status

    @rule(request=requests)
    def take_back(self, request: str) -> None:
        known = self.model[request]
        answer = self.run(self.engine.store.take_back(known.envelope))
        refused = known.result is not None and known.result.code == "not_accepted"
        untouched = known.status is Status.QUEUED and known.attempt == 0
        assert answer == (refused or untouched)
        if untouched:
            record = self.run(self.engine.store.get(request))
            assert record is not None
            assert record.result is not None
            known.end(record.result)

    @rule()
    def restart(self) -> None:
        self.run(self.engine.stop())
        self.engine = self._open()
        for known in self.model.values():
            if known.status is Status.IN_PROGRESS:
                known.wait_again(died=True)

    @rule()
    def sweep(self) -> None:
        self.run(self.engine.upkeep.sweep())

    @invariant()
    def every_record_is_as_modelled(self) -> None:
        open_now = sum(not known.ended for known in self.model.values())
        assert self.run(self.engine.store.open_count("default")) == open_now
        queued = sum(known.status is Status.QUEUED for known in self.model.values())
        waiting = self.run(self.engine.store.waiting("m"))
        assert waiting == ({Priority.NORMAL: {"default": queued}} if queued else {})
        for request, known in self.model.items():
            record = self.run(self.engine.store.get(request))
            assert record is not None, "a request was lost"
            assert record.status is known.status
            assert record.result == known.result
            found = (record.generation, record.attempt, record.poison)
            assert found == (known.generation, known.attempt, known.poison)

    def teardown(self) -> None:
        self.run(self.engine.stop())
        self.runner.close()
        self.directory.cleanup()


TestStoreAndModel = StoreAndModel.TestCase
TestStoreAndModel.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
