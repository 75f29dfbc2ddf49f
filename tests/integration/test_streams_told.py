"""What readers of a stream are told, on an engine whose log and record the test writes itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.app import Api, build_api
from api.auth import Caller
from api.exchange import ClientGone, Exchange, Reply, StreamReply
from api.streams.chat import ChatFraming
from api.streams.cursor import NOTHING
from api.streams.native import NativeFraming
from api.streams.sending import Streams
from api.streams.teller import Teller
from broker.embedded.engine import EmbeddedEngine
from broker.embedded.events import EmbeddedEvents
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.errors import RequestError
from schemas.lifecycle import Status
from schemas.record import Record, born
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result, make_slot
from tests.integration.embedded import running

_SOON_S = 5.0


class _Scene:
    """A streamed request, and the streams of the process that tells it."""

    def __init__(self, engine: EmbeddedEngine, api: Api, envelope: Envelope) -> None:
        self.engine = engine
        self.api = api
        self.envelope = envelope
        self.record = born(envelope)
        self.streams = Streams(Teller(engine, api.backlog, api.holding), api.holding)

    async def begin(self, attempt: int = 1) -> int:
        """Claim it for an attempt that will write; return its first number."""
        if attempt == 1:
            await self.engine.store.claim(self.envelope, make_slot())
        else:
            assert await self.engine.store.next_attempt(self.record.id, attempt - 1, make_slot())
        deadline = time.time() + 60
        first = await self.engine.events.begin(
            self.record.id, attempt, restart=self.envelope.restart, deadline=deadline
        )
        assert first is not None
        return first

    async def append(self, number: int, *data: bytes, attempt: int = 1) -> None:
        """Write events."""
        assert await self.engine.events.append(self.record.id, attempt, number, data)

    async def complete(self, body: bytes, first: int = 0, attempt: int = 1) -> None:
        """End it with these events."""
        result = make_result(content_type="text/event-stream", body=body, first_event=first)
        await self.engine.store.finish(self.envelope, result, attempt)

    def lose_the_log(self) -> None:
        """Forget what was written, as a process does that ends."""
        events = self.engine.events
        assert isinstance(events, EmbeddedEvents)
        events._open.clear()
        events._sealed.clear()

    async def reader(self, after: int = NOTHING) -> StreamReply:
        """Return the stream for one more reader."""
        record = await self.engine.store.get(self.record.id)
        assert record is not None
        return await self.streams.reading(record, NativeFraming(), after)


@asynccontextmanager
async def _scene(directory: Path, **changes: Any) -> AsyncIterator[_Scene]:
    async with running(directory) as engine:
        envelope = make_envelope(stream=True, endpoint="/v1/chat/completions", **changes)
        if changes.get("held_by") is not None:
            envelope = replace(envelope, held_by=engine.owner)
        assert await engine.store.create(envelope)
        yield _Scene(engine, build_api(engine, Config()), envelope)


async def _text(reply: Reply | StreamReply) -> str:
    assert isinstance(reply, StreamReply)
    try:
        async with asyncio.timeout(_SOON_S), aclosing(reply.blocks) as blocks:
            return b"".join([block async for block in blocks]).decode()
    finally:
        await reply.close()


def _exchange(gone: asyncio.Event | None = None) -> Exchange:
    """Return the exchange of a client that hangs up when `gone` is set."""
    leaves = gone or asyncio.Event()

    async def receive() -> dict[str, Any]:
        await leaves.wait()
        return {"type": "http.disconnect"}

    return Exchange({"headers": []}, receive, Caller())


async def test_a_stream_is_told_live_to_its_end(tmp_path: Path) -> None:
    async with _scene(tmp_path) as scene:
        reply = await scene.reader()
        text = (await anext(reply.blocks)).decode()
        await scene.begin()
        await scene.append(0, b"data: a", b"data: b")
        await scene.append(2, b"data: [DONE]")
        while "id: 2" not in text:
            text += (await anext(reply.blocks)).decode()
        await scene.complete(b"data: a\n\ndata: b\n\ndata: [DONE]\n\n")
        text += await _text(reply)
    names = [line[7:] for line in text.splitlines() if line.startswith("event: ")]
    assert names == ["request.queued", "request.in_progress", "request.completed"]
    chunks = "id: 0\ndata: a\n\nid: 1\ndata: b\n\nid: 2\ndata: [DONE]\n\n"
    assert text.split("event: ")[2].partition("\n\n")[2] == chunks


async def test_a_log_that_is_gone_is_told_from_the_result(tmp_path: Path) -> None:
    async with _scene(tmp_path) as scene:
        await scene.begin()
        await scene.append(0, b"data: a")
        await scene.complete(b"data: a\n\ndata: b\n\n")
        scene.lose_the_log()
        assert "id: 0\ndata: a\n\nid: 1\ndata: b\n\n" in await _text(await scene.reader())
        left = await _text(await scene.reader(0))
        assert left.startswith("id: 1\ndata: b\n\nevent: request.completed\n")


async def test_a_reader_of_what_is_lost_is_told_so_and_a_new_one_gets_all(tmp_path: Path) -> None:
    async with _scene(tmp_path) as scene:
        await scene.begin()
        await scene.append(0, b"data: a")
        early = await scene.reader(0)
        scene.lose_the_log()
        first = await scene.begin(attempt=2)
        assert first > 1
        await scene.append(first, b"data: x", b"data: y", attempt=2)
        live = await _text(early)
        await scene.complete(b"data: x\n\ndata: y\n\n", first, attempt=2)
        later, whole = await _text(await scene.reader(0)), await _text(await scene.reader())
    for cut in (live, later):
        error = orjson.loads(cut.split("event: error\ndata: ")[1])["error"]
        assert error["code"] == "stream_interrupted"
        assert "data: x" not in cut
    assert f"id: {first}\ndata: x\n\nid: {first + 1}\ndata: y\n\n" in whole


async def test_what_may_restart_goes_on_behind_a_marker_wherever_it_is_read(
    tmp_path: Path,
) -> None:
    async with _scene(tmp_path, restart=True) as scene:
        await scene.begin()
        await scene.append(0, b"data: a")
        live = asyncio.create_task(_text(await scene.reader()))
        first = await scene.begin(attempt=2)
        await scene.append(first, b"data: x", attempt=2)
        await scene.complete(b"data: x\n\n", first, attempt=2)
        told = await live
        scene.lose_the_log()
        cut = await _text(await scene.reader(0))
    marker = 'id: 1\nevent: request.restarted\ndata: {"attempt":2}\n\nid: 2\ndata: x\n\n'
    assert f"id: 0\ndata: a\n\n{marker}" in told
    assert cut.startswith(marker)


async def test_readers_are_told_where_to_go_on_when_the_process_ends(tmp_path: Path) -> None:
    async with _scene(tmp_path) as scene:
        await scene.begin()
        await scene.append(0, b"data: a")
        telling = asyncio.create_task(_text(await scene.reader()))
        await asyncio.sleep(0.1)
        scene.api.holding.release()
        text = await telling
    assert text.endswith("id: 0\ndata: a\n\n: the server goes away; go on from 0\n\n")


@pytest.mark.parametrize(("policy", "ends"), [("cancel", "cancelled"), ("finish", "in_progress")])
async def test_a_held_stream_ends_in_an_error_when_the_process_ends(
    tmp_path: Path, policy: str, ends: str
) -> None:
    async with _scene(tmp_path, held_by="me", on_disconnect=policy) as scene:
        await scene.begin()
        await scene.append(0, b"data: a")
        record = replace(scene.record, held_by=scene.engine.owner)
        reply = await scene.streams.held(_exchange(), record, ChatFraming())
        scene.api.holding.release()
        text = await _text(reply)
        found = await scene.engine.store.get(record.id)
    assert text.startswith("id: 0\ndata: a\n\n: the server goes away; go on from 0\n\ndata: ")
    assert orjson.loads(text.rpartition("data: ")[2])["error"]["code"] == "draining"
    assert found is not None
    assert found.status is Status(ends)


async def test_a_held_stream_that_has_shown_nothing_is_refused_when_the_process_ends(
    tmp_path: Path,
) -> None:
    async with _scene(tmp_path, held_by="me") as scene:
        scene.api.holding.release()
        with pytest.raises(RequestError) as refused:
            await scene.streams.held(_exchange(), scene.record, ChatFraming())
        assert refused.value.code == "draining"
        await _assert_cancelled(scene)


async def test_a_caller_that_leaves_before_the_head_cancels(tmp_path: Path) -> None:
    async with _scene(tmp_path, held_by="me") as scene:
        gone = asyncio.Event()
        gone.set()
        with pytest.raises(ClientGone):
            await scene.streams.held(_exchange(gone), scene.record, ChatFraming())
        await _assert_cancelled(scene)
        await asyncio.wait_for(scene.api.holding.finished(_SOON_S), _SOON_S)


async def test_a_reply_that_was_never_begun_lets_go_when_it_is_closed(tmp_path: Path) -> None:
    async with _scene(tmp_path, held_by="me") as scene:
        reply = await scene.streams.held(_exchange(), scene.record, ChatFraming(), held_s=0.1)
        assert isinstance(reply, StreamReply)
        await reply.close()
        await _assert_cancelled(scene)


async def _assert_cancelled(scene: _Scene) -> None:
    found: Record | None = await scene.engine.store.get(scene.record.id)
    assert found is not None
    assert found.status is Status.CANCELLED
