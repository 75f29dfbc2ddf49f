"""A worker on each engine takes new configurations, and calls backends by the names of routes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from broker.ports import Engine
from schemas.body import read_object
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.lifecycle import Status
from schemas.record import Record
from tests.fakes.backend import Backend
from tests.fakes.envelopes import make_envelope
from tests.servers.ports import reserve
from workers.service import WorkerService

CHAT = "/v1/chat/completions"


@asynccontextmanager
async def working(engine: Engine, config: Config) -> AsyncIterator[WorkerService]:
    worker = WorkerService(engine, config)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


def config(models: Any = "auto", **urls: str) -> Config:
    backends = {name: {"urls": [url], "concurrency": 4} for name, url in urls.items()}
    return Config.model_validate({"backends": backends, "models": models})


def on(*backends: str, model: str | None = None) -> dict[str, Any]:
    return {"targets": [{"backend": backend, "model": model} for backend in backends]}


def asking(name: str, route: str, endpoint: str = CHAT) -> Envelope:
    body = b'{"model": "' + name.encode() + b'"}'
    span = read_object(body).spans["model"]
    return make_envelope(model=route, body=body, model_span=span, endpoint=endpoint)


async def submit(engine: Engine, envelope: Envelope) -> str:
    await engine.store.create(envelope)
    await engine.queue.publish(envelope)
    return envelope.id


async def ended(engine: Engine, request_id: str) -> Record:
    record = await engine.store.wait(request_id, 30)
    assert record is not None
    assert record.status is Status.COMPLETED, record
    return record


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110  because nothing here wakes a test
            await asyncio.sleep(0.02)


async def soon_serves(engine: Engine, *models: str) -> bool:
    """Tell whether the heartbeats soon name just these models."""
    for _ in range(1_000):
        if {served.model for served in await engine.members.served()} == set(models):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_the_file_s_models_and_discovered_ones_take_turns(engine: Engine) -> None:
    async with Backend(models=("echo", "slow-1")) as fake:
        named = config({"named": on("fake", model="echo")}, fake=fake.url)
        async with working(engine, named) as worker:
            assert await soon_serves(engine, "named")
            await worker.apply(config(fake=fake.url))
            assert await soon_serves(engine, "echo", "slow-1")
            await ended(engine, await submit(engine, asking("slow-1", "slow-1")))
            await worker.apply(named)
            assert await soon_serves(engine, "named")
            await ended(engine, await submit(engine, asking("named", "named")))
    assert [call.model for call in fake.ledger.calls] == ["slow-1", "echo"]


async def test_what_no_backend_has_denied_yet_is_served_on(engine: Engine) -> None:
    away = f"http://127.0.0.1:{reserve()}/v1"
    async with (
        Backend(models=("echo",)) as fake,
        Backend(models=("slow-1",)) as other,
        working(engine, config(fake=fake.url, other=other.url)) as worker,
    ):
        assert await soon_serves(engine, "echo", "slow-1")
        await worker.apply(config(fake=fake.url, other=away))
        await worker.apply(config(fake=fake.url, other=away, another=away))
        assert set(worker._pools.plans) == {"echo", "slow-1"}
        await worker.apply(config(fake=fake.url))
        assert await soon_serves(engine, "echo")


async def test_a_running_call_ends_where_it_began_and_the_next_goes_elsewhere(
    engine: Engine,
) -> None:
    models = {"m": on("b", model="slow-700")}
    async with (
        Backend() as old,
        Backend() as new,
        working(engine, config(models, b=old.url)) as worker,
    ):
        first = await submit(engine, asking("m", "m"))
        await until(lambda: old.ledger.open == 1)
        await worker.apply(config(models, b=new.url))
        second = await submit(engine, asking("m", "m"))
        await ended(engine, first)
        await ended(engine, second)
    assert [call.id for call in old.ledger.calls] == [first]
    assert [call.id for call in new.ledger.calls] == [second]


async def test_a_removed_backend_s_waiting_requests_go_to_another(engine: Engine) -> None:
    old_models = {"m": on("old", model="slow-700")}
    async with (
        Backend() as old,
        Backend() as new,
        working(engine, config(old_models, old=old.url)) as worker,
    ):
        ids = [await submit(engine, asking("m", "m")) for _ in range(9)]
        await until(lambda: old.ledger.open == 4)
        await worker.apply(config({"m": on("new", model="echo")}, new=new.url))
        records = [await ended(engine, request_id) for request_id in ids]
    assert {record.attempt for record in records} == {1}
    calls = [call.id for call in old.ledger.calls + new.ledger.calls]
    assert sorted(calls) == sorted(ids)
    assert len(old.ledger.calls) == 4


async def test_a_removed_model_s_waiting_requests_stay_until_it_is_back(engine: Engine) -> None:
    models = {"m": on("b", model="slow-300")}
    async with Backend() as fake, working(engine, config(models, b=fake.url)) as worker:
        ids = [await submit(engine, asking("m", "m")) for _ in range(9)]
        await until(lambda: fake.ledger.open == 4)
        await worker.apply(config({}, b=fake.url))
        await until(lambda: fake.ledger.open == 0)
        assert len(fake.ledger.calls) == 4
        await worker.apply(config(models, b=fake.url))
        for request_id in ids:
            await ended(engine, request_id)
    assert sorted(call.id for call in fake.ledger.calls) == sorted(ids)
    assert fake.ledger.high_water == 4


async def test_a_route_calls_its_targets_by_the_name_that_was_asked(engine: Engine) -> None:
    models = {"*": on("b"), "fast-*": on("b", model="slow-*"), "plain": on("b")}
    async with Backend() as fake, working(engine, config(models, b=fake.url)):
        for name, route in (("echo", "*"), ("fast-1", "fast-*"), ("alias", "plain")):
            await ended(engine, await submit(engine, asking(name, route)))
    assert [call.model for call in fake.ledger.calls] == ["echo", "slow-1", "plain"]


async def test_audio_goes_in_as_a_form_and_comes_out_as_bytes(engine: Engine) -> None:
    head = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    tail = (
        b'\r\n--B\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n\xff\r\n--B--'
    )
    form = make_envelope(
        model="w",
        body=head + "größer".encode() + tail,
        model_span=(len(head), len(head) + len("größer".encode())),
        content_type="multipart/form-data; boundary=B",
        endpoint="/v1/audio/transcriptions",
    )
    models = {"w": on("b", model="whisper")}
    async with Backend() as fake, working(engine, config(models, b=fake.url)):
        heard = await ended(engine, await submit(engine, form))
        spoken = await ended(engine, await submit(engine, asking("w", "w", "/v1/audio/speech")))
    assert [call.model for call in fake.ledger.calls] == ["whisper", "whisper"]
    assert heard.result is not None
    assert heard.result.content_type == "application/json; charset=utf-8"
    assert spoken.result is not None
    assert spoken.result.content_type == "audio/mpeg"
    assert (spoken.result.body or b"").startswith(b"ID3\x04\x00\xff")
