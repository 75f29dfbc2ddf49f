"""Held calls of one process that come and go at once (PROTOCOL 5)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.auth import Caller
from api.exchange import ClientGone, Exchange
from api.holding import Holding, reply_of
from schemas.lifecycle import Status
from schemas.record import born
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result
from tests.integration.embedded import running


def _left() -> Exchange:
    """Return the exchange of a client that has hung up."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    return Exchange({"headers": []}, receive, Caller())


@pytest.mark.parametrize("joins", [True, False])
async def test_what_a_retry_is_about_to_join_is_not_cancelled(tmp_path: Path, joins: bool) -> None:
    """The store has let it join, and the first caller hangs up before the answer is here."""
    async with running(tmp_path) as engine:
        holding, request = Holding(engine), make_envelope(held_by=engine.owner)
        other = request.body_hash if joins else b"another body"
        assert await engine.store.create(request)
        with holding.joining(request.tenant, other), pytest.raises(ClientGone):
            await holding.until_ended(_left(), born(request))
        found = await engine.store.get(request.id)
        assert found is not None
        assert found.status is (Status.QUEUED if joins else Status.CANCELLED)
        await asyncio.wait_for(holding.finished(1), 2)
        with pytest.raises(ClientGone):
            await holding.until_ended(_left(), born(request))
        last = await engine.store.get(request.id)
        assert last is not None
        assert last.status is Status.CANCELLED, "nobody holds it any more"


def test_a_held_call_of_a_removed_model_is_told_that_there_is_no_such_model() -> None:
    removed = make_result(Status.FAILED, code="model_removed", message="It is gone.")
    record = replace(born(make_envelope()), status=Status.FAILED, result=removed)
    reply = reply_of(record)
    error = orjson.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (404, "model_not_found")
    assert error["message"] == f"It is gone. (request {record.id})"
