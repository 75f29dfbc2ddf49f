"""Records read straight from Redis are what the server tells of them, in each state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace

import penstock
import pytest
import redis
from penstock.polling import AsyncPoller, Poller

from tests.client.conftest import Real
from tests.servers.ports import reserve

pytestmark = pytest.mark.realservers

BODY = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def poller(real: Real) -> Iterator[Poller]:
    with Poller(real.redis_url, namespace=real.namespace) as poller:
        yield poller


@pytest.fixture
def client(real: Real) -> Iterator[penstock.Client]:
    with penstock.Client(real.url) as client:
        yield client


@pytest.mark.parametrize("model", ["llama3.2", "broken"])
def test_an_ended_request_is_what_the_server_tells(
    model: str, client: penstock.Client, poller: Poller
) -> None:
    ended = client.wait(client.submit({**BODY, "model": model}, metadata={"job": "7"}))
    found = poller.get(ended)
    # Attempts are no part of the contract.
    assert found == replace(ended, history=())


def test_an_open_request_and_its_cancellation(client: penstock.Client, poller: Poller) -> None:
    request = client.submit({**BODY, "model": "slow"}, priority="low", not_before=time.time() + 600)
    found = poller.get(request)
    assert found == replace(request, history=(), position=None, eta_s=None, waiting_for=None)
    with pytest.raises(penstock.TimedOut) as raised:
        poller.wait(request, timeout_s=0.1)
    assert raised.value.request.status == "queued"
    cancelled = client.cancel(request)
    assert poller.get(request) == replace(cancelled, history=())
    with pytest.raises(penstock.RequestFailed, match="cancelled"):
        poller.result(request, timeout_s=1)


def test_a_result_is_the_server_s(client: penstock.Client, poller: Poller) -> None:
    request = client.submit(BODY)
    assert poller.result(request, timeout_s=30).body == client.result(request).body


def test_sound_is_its_bytes(client: penstock.Client, poller: Poller) -> None:
    said = {"model": "speech", "input": "Hello"}
    request = client.submit(said, endpoint="/v1/audio/speech")
    ended = client.wait(request)
    assert poller.get(request) == replace(ended, history=())
    assert poller.result(request, timeout_s=1).body == client.result(request).body


async def test_asyncio_reads_the_same(real: Real) -> None:
    async with (
        penstock.AsyncClient(real.url) as client,
        AsyncPoller(real.redis_url, namespace=real.namespace) as poller,
    ):
        requests = [await client.submit(BODY) for _ in range(5)]
        results = await asyncio.gather(*(poller.result(each, timeout_s=30) for each in requests))
        assert [result.request.id for result in results] == [each.id for each in requests]
        unknown = "req_00" + "0" * 32
        assert await poller.get(unknown) is None
        with pytest.raises(penstock.PenstockError, match=unknown):
            await poller.wait(unknown, timeout_s=1)


def test_another_layout_is_refused(real: Real) -> None:
    namespace = f"{real.namespace}-next"
    key = f"{{{namespace}:layout}}:version"
    with redis.Redis.from_url(real.redis_url) as connection:
        connection.set(key, 2)
        with (
            Poller(real.redis_url, namespace=namespace) as poller,
            pytest.raises(penstock.UnknownLayout, match="version 2, this reads 1"),
        ):
            poller.get("req_00" + "0" * 32)
        connection.delete(key)


@pytest.mark.parametrize("request_id", ["", "req_", "resp_00" + "0" * 32, "req_}{" + "0" * 32])
def test_what_is_no_id_is_not_asked_for(request_id: str, poller: Poller) -> None:
    with pytest.raises(penstock.PenstockError, match="no request's id"):
        poller.get(request_id)


def test_where_no_redis_answers_it_says_so() -> None:
    with (
        Poller(f"redis://127.0.0.1:{reserve()}/0") as poller,
        pytest.raises(penstock.Unreachable, match="Redis"),
    ):
        poller.get("req_00" + "0" * 32)
