"""Asking over RabbitMQ: replies, refusals, progress, and a connection that is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import penstock
import pytest
from penstock import amqp
from penstock.amqp import Asker

from tests.client.conftest import Real
from tests.servers.ports import reserve

pytestmark = pytest.mark.realservers

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
async def asker(real: Real) -> AsyncIterator[Asker]:
    async with amqp.connect(real.amqp_url, namespace=real.namespace) as asker:
        yield asker


def body(model: str = "llama3.2", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": HELLO, **more}


async def test_many_ask_at_once_and_each_gets_its_own(asker: Asker) -> None:
    asked = [asker.request(body("jitter", user=f"u{number}")) for number in range(50)]
    results = await asyncio.gather(*asked)
    assert len({result.request.id for result in results}) == 50
    assert len({result.text for result in results}) == 50


async def test_options_go_with_it(asker: Asker) -> None:
    result = await asker.request(
        {"input": "a fruit"},
        model="nomic-embed-text",
        endpoint="/v1/embeddings",
        priority="low",
        timeout_s=60,
        metadata={"job": "7"},
    )
    request = result.request
    assert (request.endpoint, request.priority) == ("/v1/embeddings", "low")
    assert request.metadata == {"job": "7"}
    assert 59 < request.deadline - request.created_at < 61


async def test_a_refusal_is_raised(asker: Asker) -> None:
    with pytest.raises(penstock.Refused) as raised:
        await asker.request(body("no-such-model"))
    assert (raised.value.status, raised.value.code) == (404, "model_not_found")


async def test_a_request_without_a_model_is_not_sent(asker: Asker) -> None:
    with pytest.raises(penstock.PenstockError, match="model"):
        await asker.request({"messages": HELLO})


async def test_a_failure_is_raised_with_its_request(asker: Asker) -> None:
    with pytest.raises(penstock.RequestFailed) as raised:
        await asker.request(body("broken"))
    assert raised.value.request.status == "failed"
    assert raised.value.code == "attempts_exhausted"


async def test_progress_is_told_from_the_moment_it_is_durable(asker: Asker) -> None:
    told: list[penstock.Request] = []
    result = await asker.request(body("later"), progress=told.append)
    assert told[0].id == result.request.id
    assert not any(each.ended for each in told)


async def test_a_running_request_is_cancelled(asker: Asker) -> None:
    told: asyncio.Queue[penstock.Request] = asyncio.Queue()
    running = asyncio.create_task(asker.request(body("slow"), progress=told.put_nowait))
    request = await asyncio.wait_for(told.get(), 10)
    assert (await asker.cancel(request)).status == "cancelled"
    running.cancel()


async def test_what_is_asked_while_the_connection_is_lost_is_answered_once(
    asker: Asker, real: Real
) -> None:
    told: asyncio.Queue[penstock.Request] = asyncio.Queue()
    before = asyncio.create_task(asker.request(body("later"), progress=told.put_nowait))
    request = await asyncio.wait_for(told.get(), 10)
    channel = asker._line._channel
    assert channel is not None
    # As RabbitMQ does it: the channel ends by an error of ours.
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await channel.declare_queue("no-such-queue", passive=True)
    meanwhile = asyncio.create_task(asker.request(body()))
    assert (await asyncio.wait_for(before, 15)).request.id == request.id
    assert (await asyncio.wait_for(meanwhile, 15)).text.startswith("echo ")


async def test_where_no_rabbitmq_answers_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.line._CONNECT_S", 1.0)
    with pytest.raises(penstock.Unreachable, match="RabbitMQ"):
        async with amqp.connect(f"amqp://guest:guest@127.0.0.1:{reserve()}/"):
            pass


async def test_where_no_penstock_listens_it_says_so(real: Real) -> None:
    async with amqp.connect(real.amqp_url, namespace="nobody-listens-here") as asker:
        with pytest.raises(penstock.Unreachable, match=r"nobody-listens-here\.intake"):
            await asyncio.wait_for(asker.request(body()), 20)
