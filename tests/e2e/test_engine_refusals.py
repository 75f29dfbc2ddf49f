"""What an engine refuses, as HTTP tells it: a real server on an engine that fails as it is told."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.app import Api, build_api
from api.wire import Limits
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Selection, Served, Store
from cli.http_server import HttpServer
from schemas.config import Config
from schemas.errors import (
    BlobsUnavailable,
    QueueUnavailable,
    RequestError,
    StorageFull,
    StoreUnavailable,
)
from schemas.large import LARGE_BYTES
from schemas.lifecycle import Status
from schemas.record import Record
from tests.e2e.door import chat_body
from tests.e2e.wire import Told, ask
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result

BODY = b'{"body": {"model": "echo", "messages": []}}'
ADMIN_KEY = "an-admin-key-of-this-test"
CONFIG = Config.model_validate({})


class Failing:
    """Any port; the named method raises."""

    def __init__(self, port: Any, method: str, error: Exception) -> None:
        self._port, self._method, self._error = port, method, error

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._port, name)

        async def fail(*_args: object, **_named: object) -> None:
            raise self._error

        return fail


@asynccontextmanager
async def served(
    directory: Path, fail: tuple[str, str, Exception]
) -> AsyncIterator[tuple[str, Api]]:
    """Serve an engine of which one method of one port fails; yields the URL."""
    engine = EmbeddedEngine(directory, retention_s=60)
    await engine.start()
    await engine.members.beat("worker", [Served("echo", 1)])
    part, method, error = fail
    setattr(engine, part, Failing(getattr(engine, part), method, error))
    api = build_api(engine, CONFIG)
    await api.catalog.refresh()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    server = HttpServer(api, Limits.of(CONFIG.server, 100), None)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", api
    finally:
        await api.stop()
        server.should_exit = True
        await serving
        await engine.stop()


async def submit(url: str) -> Told:
    """Submit a request with a body that is put aside."""
    large = BODY.replace(b"[]", json.dumps(["x" * LARGE_BYTES]).encode())
    return await asyncio.to_thread(ask, url, "POST", "/v1/requests", large)


FAILURES: dict[str, tuple[str, str, Exception]] = {
    "store_unavailable": ("store", "create", StoreUnavailable("away")),
    "storage_full": ("store", "create", StorageFull("full")),
    "queue_unavailable": ("queue", "publish", QueueUnavailable("away")),
    "blobs_unavailable": ("blobs", "put", BlobsUnavailable("away")),
    "internal_error": ("store", "create", ZeroDivisionError("a bug with psk_secret in it")),
}


@pytest.mark.parametrize("code", FAILURES)
async def test_a_failure_below_is_told_as_its_row(tmp_path: Path, code: str) -> None:
    async with served(tmp_path, FAILURES[code]) as (url, _):
        told = await submit(url)
    told.assert_refused(code)
    assert b"psk_secret" not in told.body


async def test_a_door_that_drains_says_so(tmp_path: Path) -> None:
    async with served(tmp_path, ("store", "nothing", RequestError("draining"))) as (url, api):
        api.drain()
        told = await submit(url)
        ready = await asyncio.to_thread(ask, url, "GET", "/ready")
    told.assert_refused("draining")
    assert ready.status == 503
    assert ready.json["checks"]["accepting"] == "draining"


async def test_a_held_call_that_was_taken_back_is_told_so(tmp_path: Path) -> None:
    """It was made durable and then refused elsewhere: nothing will run."""
    async with served(tmp_path, ("store", "nothing", RequestError("draining"))) as (url, api):
        body = json.dumps(chat_body("echo")).encode()
        path = "/v1/chat/completions"
        held = asyncio.create_task(asyncio.to_thread(ask, url, "POST", path, body))
        store = api.holding._engine.store
        found = await _first(store)
        submission = make_envelope(id=found.id, accepted_at=found.accepted_at)
        assert await store.take_back(submission)
        told = await held
    told.assert_refused("not_accepted")


async def test_a_dead_letter_is_read_and_redriven_past_its_retention(tmp_path: Path) -> None:
    async with served(tmp_path, ("queue", "nothing", RequestError("draining"))) as (url, api):
        api.apply(Config.model_validate({"server": {"admin_key": ADMIN_KEY}}))
        engine = api.holding._engine
        letter = make_envelope(model="echo", endpoint="/v1/chat/completions")
        assert await engine.store.create(letter)
        old = replace(make_result(Status.FAILED), finished_at=time.time() - 3_600)
        assert (await engine.store.finish(letter, old, 0, keep_envelope=True)).won
        assert await engine.store.get(letter.id) is None
        path = f"/admin/v1/dead-letters/{letter.id}"
        admin = {"Authorization": f"Bearer {ADMIN_KEY}"}
        shown = await asyncio.to_thread(ask, url, "GET", path, None, admin)
        redriven = await asyncio.to_thread(ask, url, "POST", f"{path}/redrive", b"", admin)
    assert (shown.status, shown.json["id"]) == (200, letter.id)
    assert (redriven.status, redriven.json["redrive_of"]) == (202, letter.id)


async def _first(store: Store) -> Record:
    """Return the first request, as soon as there is one."""
    async with asyncio.timeout(10):
        while True:
            if found := await store.select(Selection(tenant="default"), None, 1):
                return found[0]
            await asyncio.sleep(0.02)
