"""Keys over HTTP: who gets in, what a key opens, and that tenants cannot see each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.batching import BATCHES, FILES, create, ended
from tests.e2e.door import Door, chat_body, open_door
from tests.fakes.stack import Setup
from tests.fakes.uploads import line

ADMIN, ACME, GLOBEX = "an-admin-key-for-tests", new_key(), new_key()
JSON = {"Content-Type": "application/json"}
OF_THEIR_OWN = ("/admin", "/v1/messages", "/v1/webhook_", FILES, BATCHES)
ZERO_ID = "req_00" + "0" * 32


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        "acme": {"keys": [{"name": "ci", "hash": hash_of(ACME)}], "models": ["*"]},
        "globex": {"keys": [{"name": "app", "hash": hash_of(GLOBEX)}], "models": ["slow-*"]},
    }
    with_keys = replace(
        setup,
        server={**setup.server, "admin_key": ADMIN},
        more={"tenants": tenants, "aliases": {"slow-friend": "echo"}},
    )
    directory = tmp_path_factory.mktemp("keys")
    with open_door(directory, with_keys, ["echo", "slow-100", "status-500"], key=ADMIN) as opened:
        yield opened


BAD_CREDENTIALS: dict[str, dict[str, str]] = {
    "none": {},
    "empty": {"Authorization": ""},
    "no key": {"Authorization": "Bearer"},
    "blank key": {"Authorization": "Bearer "},
    "two blanks": {"Authorization": f"Bearer  {ACME}"},
    "Basic": {"Authorization": f"Basic {ACME}"},
    "key without a scheme": {"Authorization": ACME},
    "one character off": {"Authorization": f"Bearer {ACME[:-1]}{'A' if ACME[-1] != 'A' else 'B'}"},
    "too short": {"Authorization": f"Bearer {ACME[:-1]}"},
    "10 kB": {"Authorization": "Bearer " + "k" * 10_000},
    "SQL": {"Authorization": "Bearer ' OR 1=1--"},
    "a template": {"Authorization": "Bearer ${jndi:ldap://x}{{7*7}}"},
    "the hash itself": {"Authorization": f"Bearer {hash_of(ACME)}"},
    "in a cookie": {"Cookie": f"api_key={ACME}"},
    "not ASCII": {"Authorization": "Bearer psk_\xe4\xf6\xfc"},
}


@pytest.mark.parametrize("case", BAD_CREDENTIALS)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/requests"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", f"/v1/requests/{ZERO_ID}"),
        ("GET", "/admin/v1/queues"),
    ],
)
def test_a_caller_without_a_known_key_gets_in_nowhere(
    door: Door, case: str, method: str, path: str
) -> None:
    body = {"body": chat_body("echo")} if method == "POST" else None
    told = door.as_key(None).ask(method, path, body, {**JSON, **BAD_CREDENTIALS[case]})
    told.assert_refused("invalid_api_key")
    assert ACME not in told.body.decode()


def test_a_key_in_the_query_is_no_key(door: Door) -> None:
    told = door.as_key(None).ask("GET", f"/v1/models?api_key={ACME}")
    told.assert_refused("invalid_api_key")


def test_two_authorization_headers_are_none(door: Door) -> None:
    from tests.e2e.wire import ask_raw

    head = (
        "GET /v1/models HTTP/1.1\r\n"
        f"Authorization: Bearer {ACME}\r\nAuthorization: Bearer {ACME}\r\nConnection: close"
    )
    ask_raw(door.stack.url, head, []).assert_refused("invalid_api_key")


def test_health_needs_no_key(door: Door) -> None:
    for path in ("/live", "/ready", "/health", "/metrics"):
        assert door.as_key(None).ask("GET", path).status == 200


def test_a_key_is_its_tenant(door: Door) -> None:
    acme = door.as_key(ACME)
    request_id = acme.submit("echo")
    assert acme.ended(request_id)["tenant"] == "acme"
    assert door.as_key(ADMIN).ended(door.as_key(ADMIN).submit("echo"))["tenant"] == "default"
    door.as_key(ADMIN).ask("GET", f"/v1/requests/{request_id}").assert_refused("request_not_found")


def test_a_key_opens_its_models_only(door: Door) -> None:
    globex = door.as_key(GLOBEX)
    globex.ask("POST", "/v1/chat/completions", chat_body("echo")).assert_refused(
        "model_not_allowed"
    )
    globex.ask("POST", "/v1/requests", {"body": chat_body("echo")}).assert_refused(
        "model_not_allowed"
    )
    assert globex.chat("slow-100").status == 200
    # An alias is opened by its own name: the operator has called it so.
    assert globex.chat("slow-friend").status == 200


def test_the_list_of_models_shows_what_the_key_opens(door: Door) -> None:
    told = door.as_key(GLOBEX).ask("GET", "/v1/models")
    assert {item["id"] for item in told.json["data"]} == {"slow-100", "slow-friend"}
    door.as_key(GLOBEX).ask("GET", "/v1/models/echo").assert_refused("model_not_found")
    unknown = door.as_key(GLOBEX).ask("POST", "/v1/chat/completions", chat_body("gpt-9"))
    unknown.assert_refused("model_not_found")
    assert "echo" not in unknown.json["error"]["message"]


def _operations(door: Door) -> list[tuple[str, str, dict[str, Any]]]:
    document = door.ask("GET", "/openapi.json").json
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_another_tenants_request_is_not_there_on_any_route(door: Door) -> None:
    """Generated from OpenAPI: every route with an id, asked by another tenant, answers 404."""
    theirs = door.as_key(ACME).submit("echo")
    before = door.as_key(ACME).ended(theirs)
    asked = 0
    for method, path, operation in _operations(door):
        # Those of webhooks, files and batches have ids of their own, and tests of their own.
        if "{id}" not in path or path.startswith(OF_THEIR_OWN):
            continue
        asked += 1
        for query in ("", "?wait=2"):
            concrete = path.replace("{id}", theirs) + query
            foreign = door.as_key(GLOBEX).ask(method.upper(), concrete)
            foreign.assert_refused("request_not_found")
            unknown = door.as_key(GLOBEX).ask(method.upper(), path.replace("{id}", ZERO_ID))
            assert unknown.body == foreign.body, operation["operationId"]
    assert asked >= 3
    assert door.as_key(ACME).ended(theirs) == before
    listed = door.as_key(GLOBEX).ask("GET", "/v1/requests?limit=100").json["data"]
    assert theirs not in [item["id"] for item in listed]


def test_another_tenants_file_and_batch_are_not_there_on_any_route(door: Door) -> None:
    mine, asked = door.as_key(ACME), 0
    made = ended(mine, create(mine, [line("1"), line("2", "status-500")])["id"])
    theirs = {FILES: made["input_file_id"], BATCHES: made["id"]}
    before = [mine.ask("GET", f"{place}/{each}").json for place, each in theirs.items()]
    for method, path, operation in _operations(door):
        place = path.removesuffix("/content").partition("/{id}")[0]
        if "{id}" not in path or place not in theirs:
            continue
        asked += 1
        one = theirs[place]
        unknown_id = one[: one.index("0")] + "00" + "0" * 32
        foreign, unknown = (
            door.as_key(GLOBEX).ask(method.upper(), path.replace("{id}", each))
            for each in (one, unknown_id)
        )
        assert (foreign.status, foreign.body) == (404, unknown.body), operation["operationId"]
    assert asked >= 9
    after = [mine.ask("GET", f"{place}/{each}").json for place, each in theirs.items()]
    assert after == before


def test_another_tenants_webhook_endpoint_is_not_there_on_any_route(door: Door) -> None:
    made = door.as_key(ACME).ask(
        "POST",
        "/v1/webhook_endpoints",
        {"name": "a", "url": "https://hooks.example/", "event_types": ["request.completed"]},
    )
    theirs, unknown_id = made.json["id"], f"we_{'0' * 32}"
    before = door.as_key(ACME).ask("GET", f"/v1/webhook_endpoints/{theirs}").json
    asked = 0
    for method, path, operation in _operations(door):
        if not path.startswith("/v1/webhook_endpoints/{id}"):
            continue
        asked += 1
        asked_for = operation.get(
            "requestBody", {"content": {"application/json": {"example": None}}}
        )
        body = asked_for["content"]["application/json"]["example"]
        foreign, unknown = (
            door.as_key(GLOBEX).ask(method.upper(), path.replace("{id}", each), body)
            for each in (theirs, unknown_id)
        )
        foreign.assert_refused("webhook_endpoint_not_found")
        assert unknown.body == foreign.body, operation["operationId"]
    assert asked >= 5
    assert door.as_key(ACME).ask("GET", f"/v1/webhook_endpoints/{theirs}").json == before
    assert door.as_key(GLOBEX).ask("GET", "/v1/webhook_endpoints").json["data"] == []
    secrets = [door.as_key(key).ask("GET", "/v1/webhook_secret").json for key in (ACME, GLOBEX)]
    assert secrets[0] != secrets[1]
    assert door.as_key(ACME).ask("DELETE", f"/v1/webhook_endpoints/{theirs}").status == 200


def test_another_tenants_idempotency_key_is_another_key(door: Door) -> None:
    headers = {**JSON, "Idempotency-Key": "the-same-word"}
    body = {"body": chat_body("slow-100")}
    first = door.as_key(ACME).ask("POST", "/v1/requests", body, headers)
    second = door.as_key(GLOBEX).ask("POST", "/v1/requests", body, headers)
    assert (first.status, second.status) == (202, 202)
    assert first.json["id"] != second.json["id"]
    assert "idempotent-replayed" not in second.headers


def test_admin_routes_are_the_operators_alone(door: Door) -> None:
    """Generated from OpenAPI: a client's key gets a 403 on each, whatever it asks."""
    asked = 0
    for method, path, _ in _operations(door):
        if path.startswith("/admin"):
            asked += 1
            concrete = path.replace("{id}", ZERO_ID)
            door.as_key(ACME).ask(method.upper(), concrete).assert_refused("not_admin")
            door.as_key(None).ask(method.upper(), concrete).assert_refused("invalid_api_key")
    assert asked >= 8


def test_every_other_route_asks_for_a_key(door: Door) -> None:
    """Generated from OpenAPI: nothing but what the document calls open is open."""
    for method, path, operation in _operations(door):
        if operation["security"] == []:
            continue
        concrete = re.sub(r"\{\w+\}", ZERO_ID, path)
        told = door.as_key(None).ask(method.upper(), concrete, {})
        told.assert_refused("invalid_api_key")


HOSTS: Mapping[str, str] = {
    "a query in Host": "a/?x=",
    "a fragment in Host": "a#",
    "a user in Host": "@b",
}


@pytest.mark.parametrize("host", HOSTS.values(), ids=HOSTS.keys())
def test_the_host_header_opens_nothing(door: Door, host: str) -> None:
    told = door.as_key(None).ask("GET", "/admin/v1/queues", headers={"Host": host})
    assert told.status in (400, 401)
