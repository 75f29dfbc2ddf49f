"""Messages without an id: as many requests as messages, also when equal ones come again at once."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from api.admission import Admission, Admitted
from api.amqp_intake.acceptance import Acceptance
from api.auth import Caller
from api.intake import Intake, Terms
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Selection, Submission
from schemas.envelope import Envelope
from schemas.priority import Lane, Priority
from tests.integration.embedded import running

_BODY = b'{"model": "m", "messages": []}'
_CALLER = Caller()


class _AdmitsAll:
    async def admit(
        self, intake: Intake, caller: Caller, request_id: str, generation: int = 0
    ) -> Envelope:
        return intake.envelope(request_id, caller, intake.model, None, generation, Lane.OPEN)


@dataclass
class _Receipt:
    live: bool = True

    def ack(self) -> None:
        """Nothing."""

    def requeue(self) -> None:
        """Nothing."""

    def set_aside(self) -> None:
        """Nothing."""


class _Doors:
    """Two doors on one engine: what one of them has in hand, the other knows nothing of."""

    def __init__(self, engine: EmbeddedEngine) -> None:
        admission = cast("Admission", _AdmitsAll())
        self.engine = engine
        self.one, self.other = (Acceptance(engine, admission, "t") for _ in range(2))
        terms = Terms(Priority.NORMAL, time.time() + 60)
        span = (_BODY.index(b'"m"'), _BODY.index(b'"m"') + 3)
        self.intake = Intake("/v1/requests", _BODY, _BODY, "m", span, "/v1/x", terms)

    async def accept(self, door: Acceptance, submission: Submission) -> Admitted:
        return await door.accept(submission, self.intake, _CALLER)

    async def forget(self, door: Acceptance, submission: Submission, admitted: Admitted) -> None:
        await door.forget(submission, self.intake, _CALLER, admitted)

    async def count(self) -> int:
        selection = Selection(tenant=None)
        return len(await self.engine.store.select(selection, None, 100) or ())


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[_Doors]:
    async with running(tmp_path) as engine:
        yield _Doors(engine)


def message(*, redelivered: bool, live: bool = True) -> Submission:
    return Submission(_BODY, "m.normal", _Receipt(live), redelivered, user_id="guest")


def test_they_are_equal() -> None:
    assert message(redelivered=True).digest == message(redelivered=False).digest
    assert len(message(redelivered=True).digest) == hashlib.sha256().digest_size


@pytest.mark.parametrize("first_came_again", [True, False])
async def test_what_another_door_has_in_hand_is_no_repeat(
    doors: _Doors, first_came_again: bool
) -> None:
    first, second = message(redelivered=first_came_again), message(redelivered=True)
    admitted = await doors.accept(doors.one, first)
    again = await doors.accept(doors.other, second)
    await doors.forget(doors.other, second, again)
    await doors.forget(doors.one, first, admitted)
    assert await doors.count() == 2


async def test_equal_ones_that_come_again_at_once_are_all_accepted(doors: _Doors) -> None:
    async def see_to(door: Acceptance) -> None:
        submission = message(redelivered=True)
        await doors.forget(door, submission, await doors.accept(door, submission))

    await asyncio.gather(*(see_to((doors.one, doors.other)[n % 2]) for n in range(20)))
    assert await doors.count() == 20


async def test_one_that_comes_again_is_the_same_request(doors: _Doors) -> None:
    lost = message(redelivered=False, live=False)
    admitted = await doors.accept(doors.one, lost)
    again = message(redelivered=True)
    repeated = await doors.accept(doors.other, again)
    assert repeated.replayed
    assert repeated.record.id == admitted.record.id
    await doors.forget(doors.other, again, repeated)
    # The first door is only slow; its message is not its own any more.
    await doors.forget(doors.one, lost, admitted)
    assert await doors.count() == 1
