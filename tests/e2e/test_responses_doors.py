"""Responses beside the other doors: both names of an id, other tenants, the native door."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup

ACME, GLOBEX = new_key(), new_key()
ASKED = {"model": "echo", "input": "hi", "metadata": {"a": "b"}}
MOST_BYTES = 20_000


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        name: {"keys": [{"name": "ci", "hash": hash_of(key)}], "models": ["*"]}
        for name, key in (("acme", ACME), ("globex", GLOBEX))
    }
    with_keys = replace(
        setup,
        server={**setup.server, "max_body_bytes": MOST_BYTES},
        more={"tenants": tenants},
    )
    directory = tmp_path_factory.mktemp("doors")
    with open_door(directory, with_keys, ["echo", "slow-1000"], key=ACME) as opened:
        yield opened


def test_both_names_open_both_doors(door: Door) -> None:
    made = door.ask("POST", "/v1/responses", ASKED)
    digits = made.json["id"].removeprefix("resp_")
    for name in (f"resp_{digits}", f"req_{digits}"):
        assert door.ask("GET", f"/v1/responses/{name}").json == made.json
        request = door.ask("GET", f"/v1/requests/{name}").json
        assert request["id"] == f"req_{digits}"
        assert request["response"]["body"] == made.json
        assert request["metadata"] == {"a": "b"}
        assert request["usage"]["output_tokens"] == 2
    assert door.ask("GET", f"/v1/requests/resp_{digits}/response").json == made.json


def test_another_tenants_response_is_not_found(door: Door) -> None:
    made = door.ask("POST", "/v1/responses", {**ASKED, "background": True}).json["id"]
    other = door.as_key(GLOBEX)
    one = f"/v1/responses/{made}"
    for method, path in (
        ("GET", one),
        ("GET", f"{one}?stream=true"),
        ("GET", f"{one}/input_items"),
        ("POST", f"{one}/cancel"),
        ("DELETE", one),
    ):
        other.ask(method, path).assert_refused("request_not_found")
    told = other.ask("POST", "/v1/responses", {**ASKED, "previous_response_id": made})
    told.assert_refused("previous_response_not_found")
    assert door.ended(made)["status"] == "completed"


def test_a_chat_is_no_response(door: Door) -> None:
    chat = door.submit("echo")
    door.ended(chat)
    door.ask("GET", f"/v1/responses/{chat}").assert_refused("request_not_found")
    told = door.ask("POST", "/v1/responses", {**ASKED, "previous_response_id": chat})
    told.assert_refused("previous_response_not_found")


def test_the_native_door_takes_responses_as_well(door: Door) -> None:
    first = door.ask("POST", "/v1/responses", ASKED).json["id"]
    submitted = {
        "endpoint": "/v1/responses",
        "priority": "low",
        "body": {**ASKED, "previous_response_id": first},
    }
    told = door.ask("POST", "/v1/requests", submitted)
    assert told.status == 202
    assert door.ended(told.json["id"])["response"]["body"]["object"] == "response"
    items = door.ask("GET", f"/v1/responses/{told.json['id']}/input_items?order=asc").json["data"]
    assert [item["role"] for item in items] == ["user", "assistant", "user"]
    for wrong, code in (
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter"),
        ({"store": False}, "invalid_body"),
        ({"input": None}, "invalid_body"),
    ):
        body = {"endpoint": "/v1/responses", "body": {**ASKED, **wrong}}
        door.ask("POST", "/v1/requests", body).assert_refused(code)


def test_an_idempotency_key_replays_what_runs_in_the_background(door: Door) -> None:
    headers = {"Content-Type": "application/json", "Idempotency-Key": "background-1"}
    asked = {**ASKED, "background": True}
    first, second = (door.ask("POST", "/v1/responses", asked, headers) for _ in range(2))
    assert first.json["id"] == second.json["id"]
    assert second.headers["idempotent-replayed"] == "true"


def test_what_has_not_ended_cannot_be_gone_on_from(door: Door) -> None:
    asked = {**ASKED, "model": "slow-1000", "background": True}
    made = door.ask("POST", "/v1/responses", asked).json["id"]
    told = door.ask("POST", "/v1/responses", {**ASKED, "previous_response_id": made})
    told.assert_refused("not_finished")
    door.ask("DELETE", f"/v1/responses/{made}")
    until = time.monotonic() + 10
    while door.ask("GET", f"/v1/requests/{made}").status != 404:
        assert time.monotonic() < until


def test_a_conversation_that_has_grown_too_long_is_refused(door: Door) -> None:
    long = {**ASKED, "input": "x" * (MOST_BYTES // 2)}
    first = door.ask("POST", "/v1/responses", long).json["id"]
    told = door.ask("POST", "/v1/responses", {**long, "previous_response_id": first})
    told.assert_refused("body_too_large")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?stream=maybe", "stream"),
        ("?stream=true&starting_after=-1", "starting_after"),
        ("?stream=true&starting_after=x", "starting_after"),
        ("/input_items?limit=0", "limit"),
        ("/input_items?after=nothing", "after"),
        ("/input_items?order=up", "order"),
    ],
)
def test_a_query_that_is_none_is_refused(door: Door, query: str, param: str) -> None:
    made = door.ask("POST", "/v1/responses", {**ASKED, "stream": False}).json["id"]
    told = door.ask("GET", f"/v1/responses/{made}{query}")
    told.assert_refused("invalid_body")
    assert told.json["error"]["param"] == param
