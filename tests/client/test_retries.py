"""What the clients do about answers that are late, missing or unkind."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import penstock
import pytest
from penstock import retrying
from penstock.errors import Refused, Unreachable
from penstock.retrying import Patience

from tests.client.scripted import REQUEST_ID, Scripted, Step, refused, request_json, told
from tests.client.twins import Twin
from tests.servers.ports import reserve

BODY = {"model": "m", "messages": []}
Make = Callable[..., Twin]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_PAUSE_S", 0.01)


@pytest.mark.parametrize(
    "first",
    [
        Step(hangs_up=True),
        refused(503, "draining", retry_after="0"),
        refused(429, "queue_full", retry_after="0"),
        refused(408, "request_timeout"),
        refused(500, "internal_error"),
        Step(502, b"<html>Bad gateway</html>"),
    ],
)
async def test_a_submission_is_repeated_as_the_same_request(twin: Make, first: Step) -> None:
    with Scripted([first, told()]) as server:
        request = await twin(server.url).submit(BODY, priority="low")
    assert request.id == REQUEST_ID
    one, two = server.seen
    assert one.headers["Idempotency-Key"] == two.headers["Idempotency-Key"]
    assert one.body == two.body
    assert json.loads(one.body) == {"body": BODY, "priority": "low"}


@pytest.mark.parametrize(
    "answer",
    [
        refused(400, "invalid_body"),
        refused(404, "model_not_found"),
        refused(409, "idempotency_conflict", x_should_retry="false"),
        refused(502, "backend_failed", x_should_retry="false"),
        refused(429, "insufficient_quota", retry_after="3600"),
    ],
)
async def test_a_final_refusal_is_raised_at_once(twin: Make, answer: Step) -> None:
    with Scripted([answer]) as server, pytest.raises(Refused) as raised:
        await twin(server.url).submit(BODY)
    error = json.loads(answer.body)["error"]
    assert (raised.value.status, raised.value.code) == (answer.status, error["code"])
    assert raised.value.message == error["message"]
    assert len(server.seen) == 1


async def test_tries_come_to_an_end(twin: Make) -> None:
    with Scripted([refused(503, "store_unavailable")]) as server, pytest.raises(Refused) as raised:
        await twin(server.url, retries=2).submit(BODY)
    assert raised.value.code == "store_unavailable"
    assert len(server.seen) == 3


async def test_where_nobody_answers_it_says_so(twin: Make) -> None:
    url = f"http://127.0.0.1:{reserve()}"
    with pytest.raises(Unreachable, match=url):
        await twin(url, retries=1).submit(BODY)


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"[]", b'{"object": "list"}'])
async def test_what_is_no_penstock_is_named(twin: Make, body: bytes) -> None:
    with Scripted([Step(200, body)]) as server, pytest.raises(Unreachable, match="no Penstock"):
        await twin(server.url, retries=0).submit(BODY)


async def test_the_key_and_the_path_are_sent(twin: Make) -> None:
    with Scripted([told("cancelled")]) as server:
        await twin(server.url + "/v1/", api_key="psk_secret").cancel("req_a/../b")
    (seen,) = server.seen
    assert seen.headers["Authorization"] == "Bearer psk_secret"
    assert seen.path == "/v1/requests/req_a%2F..%2Fb/cancel"


async def test_a_full_queue_holds_a_map_up_and_fails_nothing(twin: Make) -> None:
    full = refused(429, "tenant_queue_full", retry_after="0")
    response = {"status_code": 200, "body": {"choices": []}}
    done = Step(200, json.dumps(request_json("completed", response=response)).encode())
    with Scripted([full] * 8 + [done]) as server:
        (outcome,) = await twin(server.url, retries=1).map([BODY])
    assert outcome.unwrap().body == {"choices": []}
    assert len(server.seen) == 9


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://127.0.0.1", "http://user:password@127.0.0.1"]
)
def test_a_url_that_cannot_be_one_is_refused_at_once(url: str) -> None:
    with pytest.raises(penstock.PenstockError, match="PENSTOCK_URL"):
        penstock.Client(url)


def test_a_key_is_never_shown() -> None:
    with penstock.Client(api_key="psk_secret") as client:
        assert "psk_secret" not in repr(vars(client))


def test_pauses_grow_and_keep_to_what_the_server_asks() -> None:
    patience = Patience(6)
    away = Unreachable("away")
    pauses = [patience.pause_s(away) or 0 for _ in range(6)]
    assert all(later > earlier for earlier, later in pairwise(pauses[:4]))
    assert patience.pause_s(away) is None
    patience.renew()
    later = patience.pause_s(Refused(503, "later", retry_after_s=5, final=False))
    assert later is not None
    assert 5 <= later <= 6.25
    assert patience.pause_s(Refused(503, "tomorrow", retry_after_s=121, final=False)) is None
