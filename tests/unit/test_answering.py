"""Replies by AMQP: at least once, never a reason for a pool to fill up."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from broker.ports import Engine, Reply
from schemas.errors import QueueUnavailable
from schemas.record import Record, born
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result
from workers import answering
from workers.answering import Answering


class Stage:
    """An engine whose RabbitMQ refuses the first `refusals` replies."""

    def __init__(self, refusals: float = 0, record: Record | None = None) -> None:
        self.sent: list[Reply] = []
        self.replied: list[str] = []
        self._refusals = refusals
        self._record = record
        upkeep = SimpleNamespace(on_outbox=lambda _tell: None)
        replies = SimpleNamespace(send=self._send)
        store = SimpleNamespace(get=self._get, mark_replied=self._mark)
        engine = SimpleNamespace(upkeep=upkeep, replies=replies, store=store)
        self.answering = Answering(cast(Engine, engine), 60.0)

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


async def test_who_asked_for_nothing_is_told_nothing() -> None:
    stage = Stage(record=_ended())
    await stage.answering.committed(make_envelope(), make_result(), 1, None)
    await stage.answering.found_ended(make_envelope())
    assert not stage.sent


def _ended(**changes: Any) -> Record:
    result = make_result()
    return replace(born(ASKED), status=result.status, result=result, **changes)
