"""Streams of a real Penstock, through restarts of its api and backends that die in the middle."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator

import penstock
import pytest
from penstock import Chunk

from tests.client.twins import Twin
from tests.fakes.stack import Setup, Stack, backend_process

pytestmark = pytest.mark.realservers

Make = Callable[..., Twin]
WORDS = 60
MODELS = (f"words-{WORDS}-40", "stream-dies-3", "stream-dies-once-3")


@pytest.fixture(scope="module")
def stack(
    amqp_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("sdk-streams")
    with backend_process(directory) as (backend, _):
        setup = Setup(
            engine="real",
            workers=1,
            amqp_url=amqp_url,
            redis_url=redis_url,
            server={"namespace": f"t{secrets.token_hex(4)}"},
            backends={"gpu-a": {"urls": [f"{backend}/v1"]}},
            models={name: {"targets": [{"backend": "gpu-a"}]} for name in MODELS},
        )
        with Stack(directory, setup) as stack:
            yield stack


def body(model: str) -> dict[str, object]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.mark.parametrize("how", ["kill", "terminate"])
async def test_a_stream_outlives_its_api_process(twin: Make, stack: Stack, how: str) -> None:
    chunks: list[Chunk] = []
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(chunk: Chunk) -> None:
        chunks.append(chunk)
        if len(chunks) == 5:
            loop.call_soon_threadsafe(begun.set)

    reading = asyncio.create_task(twin(stack.url, retries=6).chunks(take, body(MODELS[0])))
    await asyncio.wait_for(begun.wait(), 20)
    await asyncio.to_thread(getattr(stack, how), "api-0")
    assert not reading.done()
    stack.restart("api-0")
    request = await asyncio.wait_for(reading, 60)
    assert request.status == "completed"
    assert "".join(chunk.text for chunk in chunks) == "".join(f"w{n} " for n in range(WORDS))
    numbers = [chunk.number for chunk in chunks]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def test_what_is_lost_after_it_was_shown_is_void(twin: Make, stack: Stack) -> None:
    chunks: list[Chunk] = []
    with pytest.raises(penstock.StreamInterrupted) as raised:
        await twin(stack.url).chunks(chunks.append, body("stream-dies-3"))
    assert raised.value.request.status == "failed"
    assert "".join(chunk.text for chunk in chunks) == "w0 w1 w2 "


async def test_with_restart_it_begins_anew(twin: Make, stack: Stack) -> None:
    chunks: list[Chunk] = []
    request = await twin(stack.url).chunks(
        chunks.append, body("stream-dies-once-3"), restart=True, timeout_s=60
    )
    assert request.status == "completed"
    (anew,) = [at for at, chunk in enumerate(chunks) if chunk.restarted]
    assert "".join(chunk.text for chunk in chunks[:anew]) == "w0 w1 w2 "
    assert "".join(chunk.text for chunk in chunks[anew:]) == "".join(f"w{n} " for n in range(20))
