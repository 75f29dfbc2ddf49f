"""Replies by AMQP: at least once, never a reason for a pool to fill up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker.ports import Engine, OutboxEntry, Reply
from schemas.errors import QueueUnavailable
from schemas.lifecycle import Status
from schemas.record import Record, born
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result
from workers import answering
from workers.answering import Answering
from workers.late_replies import LateReplies
from workers.settlement import ended


class Stage:
    """An engine whose RabbitMQ refuses the first `refusals` replies."""

    def __init__(self, refusals: float = 0, record: Record | None = None) -> None:
        self.sent: list[Reply] = []
        self.replied: list[str] = []
        self._refusals = refusals
        self._record = record
        self.passed = 0
        self._unread = True
        upkeep = SimpleNamespace(
            on_outbox=lambda _tell: None,
            hold=self._hold,
            outbox=self._outbox,
            outbox_done=self._outbox_done,
        )
        replies = SimpleNamespace(send=self._send)
        store = SimpleNamespace(get=self._get, mark_replied=self._mark)
        made = SimpleNamespace(upkeep=upkeep, replies=replies, store=store, submissions=None)
        engine = cast(Engine, made)
        self.answering = Answering(engine, 60.0)
        self.late = LateReplies(engine, self.answering)

    async def _send(self, reply: Reply) -> bool:
        if self._refusals > 0:
            self._refusals -= 1
            raise QueueUnavailable("not now")
        self.sent.append(reply)
        return True

    async def _get(self, _request_id: str) -> Record | None:
        return self._record

    async def _mark(self, request_id: str) -> None:
        self.replied.append(request_id)
        if self._record is not None:
            self._record = replace(self._record, replied=True)

    async def outbox(self) -> None:
        """Read the one entry of the outbox, as after a restart of its reader."""
        self._unread = True
        await self.late.round(0)

    async def _hold(self, _partition: int) -> bool:
        return True

    async def _outbox(
        self, _partition: int, _limit: int, _reader: str
    ) -> list[tuple[str, OutboxEntry]]:
        entry = OutboxEntry(ASKED.id, Status.EXPIRED, None, wants_reply=True)
        return [("1", entry)] if self._unread else []

    async def _outbox_done(self, _partition: int, _cursor: str, _reader: str) -> None:
        self._unread = False
        self.passed += 1


ASKED = make_envelope(reply_to="reply.acme.1", correlation_id="c-1")


async def test_a_commit_is_told_in_the_askers_words_and_noted() -> None:
    stage = Stage(refusals=2)
    await stage.answering.committed(ASKED, make_result(), 1, None)
    await stage.answering.stop()
    (reply,) = stage.sent
    assert (reply.to, reply.kind, reply.correlation_id) == (
        "reply.acme.1",
        "request.completed",
        "c-1",
    )
    assert stage.replied == [ASKED.id]


async def test_a_rabbitmq_that_refuses_us_holds_nothing_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answering, "_PATIENCE_S", 0.2)
    stage = Stage(refusals=float("inf"))
    async with asyncio.timeout(5):
        await stage.answering.committed(ASKED, make_result(), 1, None)
        await stage.answering.stop()
    assert not stage.sent
    assert not stage.replied


@pytest.mark.parametrize(
    ("changes", "told"),
    [({}, 1), ({"replied": True}, 0), ({"reply_to": None}, 0)],
)
async def test_a_delivery_that_finds_it_ended_replies_where_nobody_has(
    changes: dict[str, Any], told: int
) -> None:
    stage = Stage(record=_ended(**changes))
    await stage.answering.found_ended(ASKED)
    await stage.answering.stop()
    assert len(stage.sent) == told


@pytest.mark.parametrize("code", ["expired", "copy_lost"])
@pytest.mark.parametrize("from_outbox", [True, False])
async def test_what_the_keeper_ends_is_told_once(
    monkeypatch: pytest.MonkeyPatch, code: str, from_outbox: bool
) -> None:
    """By the outbox; where that tells nothing it was a worker's end, and the delivery tells it."""
    monkeypatch.setattr(answering, "_OUTBOX_S", 0.5)
    status = Status.EXPIRED if code == "expired" else Status.FAILED
    stage = Stage(record=_ended(status=status, result=ended(status, code)))
    found = asyncio.create_task(stage.answering.found_ended(ASKED))
    await asyncio.sleep(0)
    if from_outbox:
        await stage.outbox()
    await found
    await stage.answering.stop()
    assert [reply.kind for reply in stage.sent] == [f"request.{status.value}"]


async def test_what_cannot_be_sent_stays_in_the_outbox() -> None:
    """However long RabbitMQ is away: no message comes back for it."""
    stage = Stage(refusals=2, record=_ended())
    for _ in range(2):
        with pytest.raises(QueueUnavailable):
            await stage.outbox()
    await stage.outbox()
    await stage.answering.stop()
    await stage.outbox()
    assert len(stage.sent) == 1
    assert stage.passed == 2


async def test_who_asked_for_nothing_is_told_nothing() -> None:
    stage = Stage(record=_ended())
    await stage.answering.committed(make_envelope(), make_result(), 1, None)
    await stage.answering.found_ended(make_envelope())
    assert not stage.sent


def _ended(**changes: Any) -> Record:
    result = make_result()
    return replace(born(ASKED), **{"status": result.status, "result": result, **changes})
