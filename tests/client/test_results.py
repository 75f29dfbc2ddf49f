"""What a result is for each kind of answer, and what each end looks like."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

import penstock
import pytest

from tests.client.conftest import Real
from tests.client.scripted import REQUEST_ID, Scripted, Step, request_json
from tests.client.twins import Twin

pytestmark = pytest.mark.realservers

Make = Callable[..., Twin]
HELLO = {"model": "llama3.2", "messages": [{"role": "user", "content": "Hello"}]}


async def test_a_chat_is_its_json(twin: Make, real: Real) -> None:
    client = twin(real.url)
    result = await client.result(await client.submit(HELLO), timeout_s=30)
    assert result.body["object"] == "chat.completion"
    assert result.text.startswith("echo ")
    assert result.request.usage is not None
    assert result.request.target == penstock.Target(backend="gpu-a", model="echo")


async def test_sound_is_its_bytes(twin: Make, real: Real) -> None:
    client = twin(real.url)
    said = {"model": "speech", "input": "Hello"}
    request = await client.submit(said, endpoint="/v1/audio/speech")
    result = await client.result(request, timeout_s=30)
    assert result.body.startswith(b"ID3\x04\x00\xff\xfb\x90")
    assert result.text == ""


async def test_an_answer_too_large_for_the_request_is_fetched(twin: Make) -> None:
    told = request_json("completed", response={"status_code": 200, "body": None})
    whole = Step(200, b'{"choices": [{"text": "large"}]}', {"Content-Type": "application/json"})
    with Scripted([Step(200, json.dumps(told).encode()), whole]) as server:
        result = await twin(server.url).result(REQUEST_ID)
    assert result.text == "large"
    assert server.seen[-1].path == f"/v1/requests/{REQUEST_ID}/response"


async def test_each_option_reaches_the_request(twin: Make, real: Real) -> None:
    client = twin(real.url)
    request = await client.submit(
        {"input": "a fruit"},
        model="nomic-embed-text",
        endpoint="/v1/embeddings",
        priority="low",
        timeout_s=600,
        metadata={"job": "7"},
    )
    assert (request.model, request.endpoint) == ("nomic-embed-text", "/v1/embeddings")
    assert (request.priority, request.metadata) == ("low", {"job": "7"})
    assert 599 < request.deadline - request.created_at < 601


async def test_one_key_is_one_request(twin: Make, real: Real) -> None:
    client, key = twin(real.url), secrets.token_hex(8)
    one = await client.submit(HELLO, idempotency_key=key)
    assert (await client.submit(HELLO, idempotency_key=key)).id == one.id
    with pytest.raises(penstock.Refused) as raised:
        await client.submit({**HELLO, "n": 2}, idempotency_key=key)
    assert (raised.value.status, raised.value.code) == (409, "idempotency_conflict")


async def test_a_cancelled_request_says_so(twin: Make, real: Real) -> None:
    client = twin(real.url)
    request = await client.submit({**HELLO, "model": "slow"})
    assert (await client.cancel(request)).status == "cancelled"
    with pytest.raises(penstock.RequestFailed, match="cancelled") as raised:
        await client.result(request)
    assert raised.value.code == "cancelled"
