"""Streams while processes go: nothing is lost, nothing told twice, and never a splice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.chaos.stream_readers import Told, held, read_on
from tests.fakes.stack import Engine, Setup, Stack, backend_process

STREAMS = 200
HELD_EACH = 4
_END_S = 90.0
_BACKEND = "fake"


def _setup(engine: Engine, url: str, model: str) -> Setup:
    return Setup(
        engine=engine,
        backends={_BACKEND: {"urls": [f"{url}/v1"], "concurrency": STREAMS, "timeout_s": 120}},
        models={model: {"targets": [{"backend": _BACKEND}]}},
        server={"drain_s": 1},
        apis=2,
        workers=2,
    )


def _body(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.chaos
@pytest.mark.realservers
@pytest.mark.timeout(240)
def test_streams_go_on_while_every_api_process_restarts(tmp_path: Path) -> None:
    with backend_process(tmp_path) as (url, _):
        model = "words-60-300"
        with Stack(tmp_path, _setup("real", url, model)) as stack:
            asyncio.run(_roll(stack, model))


async def _roll(stack: Stack, model: str) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        told = [Told("", restart=False) for _ in range(STREAMS)]
        readers = [
            asyncio.create_task(_stream(session, stack.urls, each, model, number))
            for number, each in enumerate(told)
        ]
        await asyncio.gather(*(each.begun.wait() for each in told))
        for role in [name for name in stack.processes if name.startswith("api")]:
            assert await asyncio.to_thread(stack.terminate, role) == 0
            stack.restart(role)
            await asyncio.to_thread(stack.wait_ready)
        async with asyncio.timeout(_END_S):
            await asyncio.gather(*readers)
        resumed = sum(each.resumed > 0 for each in told)
        print(f"{len(told)} streams, {resumed} of them resumed, {_count(told)}")
        assert resumed >= STREAMS // 2, "too few were cut off for this to say anything"
        assert {each.ended for each in told} == {"request.completed"}
        for each in told:
            assert list(each.chunks) == list(range(len(each.chunks)))
            assert each.body.encode() == await _result(session, stack.url, each.request_id)
    assert not stack.died(), stack.logs()
    assert not any(process.tracebacks() for process in stack.processes.values()), stack.logs()


async def _stream(
    session: aiohttp.ClientSession, urls: list[str], told: Told, model: str, number: int
) -> None:
    door = number % len(urls)
    if number % HELD_EACH == 0:
        await held(session, urls[door], _body(model), told)
        if told.chunks.get(told.last) != "[DONE]":
            told.resumed += 1
    else:
        told.request_id = await _submitted(session, urls[door], model, restart=False)
    await read_on(session, told, urls, door)


@pytest.mark.chaos
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("embedded", id="embedded"),
        pytest.param("real", id="real", marks=pytest.mark.realservers),
    ],
)
def test_a_worker_that_is_killed_leaves_no_splice(engine: Engine, tmp_path: Path) -> None:
    with backend_process(tmp_path) as (url, _):
        model = "words-50-100"
        with Stack(tmp_path, _setup(engine, url, model)) as stack:
            asyncio.run(_kill(stack, model))


async def _kill(stack: Stack, model: str) -> None:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        told = []
        for number in range(40):
            restart = number % 2 == 0
            request_id = await _submitted(session, stack.url, model, restart=restart)
            told.append(Told(request_id, restart))
        readers = [
            asyncio.create_task(read_on(session, each, stack.urls, number))
            for number, each in enumerate(told)
        ]
        await asyncio.gather(*(each.begun.wait() for each in told))
        # All of them: nobody knows which one has taken how many.
        for role in [name for name in stack.processes if not name.startswith("api")]:
            await asyncio.to_thread(stack.kill, role)
            stack.restart(role)
        async with asyncio.timeout(_END_S):
            await asyncio.gather(*readers)
        print(f"{len(told)} streams, {_count(told)}")
        assert any(each.restarted for each in told), "nothing that may restart was interrupted"
        for each in told:
            assert len(each.calls) <= 1, f"a splice: {each}"
            if each.ended == "request.completed":
                assert each.body.encode() == await _result(session, stack.url, each.request_id)
            else:
                assert each.ended in ("error", "request.failed")
                assert not each.restart, each
        broken = [each for each in told if each.ended != "request.completed"]
        assert broken, "nothing that may not restart was interrupted"
        assert len(broken) <= len(told) // 2


def _count(told: list[Told]) -> str:
    ends = sorted({str(each.ended) for each in told})
    counts = {end: sum(each.ended == end for each in told) for end in ends}
    return f"{counts}, {sum(each.restarted > 0 for each in told)} restarted"


async def _submitted(session: aiohttp.ClientSession, url: str, model: str, *, restart: bool) -> str:
    asked = {"body": _body(model), "stream": True, "restart": restart}
    async with session.post(f"{url}/v1/requests", json=asked) as response:
        assert response.status == 202, await response.text()
        submitted = await response.json()
    request_id: str = submitted["id"]
    return request_id


async def _result(session: aiohttp.ClientSession, url: str, request_id: str) -> bytes:
    async with session.get(f"{url}/v1/requests/{request_id}/response") as response:
        assert response.status == 200
        return await response.read()
