"""Pause, resume and drain of models and backends, as an operator and a client see them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import FAKE, Door, chat_body, open_door
from tests.fakes.stack import Setup, backend_process

ADMIN, CLIENT = "an-admin-key-for-tests", new_key()
SPARE = "spare"
PAUSED, DRAINED, SHARED, LONELY = "org/paused", "drained", "shared", "lonely"


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("switches")
    tenants = {"acme": {"keys": [{"name": "k", "hash": hash_of(CLIENT)}], "models": ["*"]}}
    (directory / "spare").mkdir()
    with backend_process(directory / "spare") as (url, _):
        whole = replace(
            setup,
            backends={SPARE: {"urls": [f"{url}/v1"], "concurrency": 4}},
            server={**setup.server, "admin_key": ADMIN},
            more={"tenants": tenants},
        )
        echo = {"backend": FAKE, "model": "echo"}
        elsewhere = {"backend": SPARE, "model": "echo"}
        models = {
            PAUSED: {"targets": [echo]},
            DRAINED: {"targets": [{"backend": FAKE, "model": "slow-300"}]},
            SHARED: {"targets": [echo, elsewhere]},
            LONELY: {"targets": [elsewhere]},
        }
        with open_door(directory, whole, ["echo"], models, key=CLIENT) as opened:
            yield opened


def switch(door: Door, kind: str, name: str, verb: str) -> dict[str, Any]:
    """Use a switch that must exist, and return what it answers."""
    told = door.as_key(ADMIN).ask("POST", f"/admin/v1/{kind}s/{quote(name, safe='')}/{verb}")
    assert told.status == 200, told
    answer: dict[str, Any] = told.json
    return answer


def states(door: Door, kind: str) -> dict[str, str]:
    listed = door.as_key(ADMIN).ask("GET", f"/admin/v1/{kind}s").json["data"]
    return {item["id"]: item["state"] for item in listed}


def seen(door: Door, request_id: str) -> dict[str, Any]:
    told: dict[str, Any] = door.ask("GET", f"/v1/requests/{request_id}").json
    return told


def stays(door: Door, model: str) -> str:
    """Submit to a model that is paused until one stays: a worker hears of it by a message."""
    for _ in range(10):
        request_id = door.submit(model)
        told = door.ask("GET", f"/v1/requests/{request_id}?wait=1").json
        if told["status"] == "queued":
            return request_id
    raise AssertionError("the worker has not heard of it")


def test_a_paused_model_accepts_and_starts_nothing(door: Door) -> None:
    answer = switch(door, "model", PAUSED, "pause")
    assert (answer["id"], answer["object"], answer["state"]) == (PAUSED, "model", "paused")
    request_id = stays(door, PAUSED)
    waiting = seen(door, request_id)
    assert (waiting["status"], waiting["eta_s"]) == ("queued", None)
    assert waiting["waiting_for"] == f"model {PAUSED} is paused by its operator"
    assert door.chat("echo").status == 200, "another model goes on"
    assert states(door, "model")[PAUSED] == "paused"
    assert switch(door, "model", PAUSED, "resume")["state"] == "running"
    assert door.ended(request_id)["status"] == "completed"
    assert states(door, "model")[PAUSED] == "running"


def test_a_draining_model_refuses_what_is_new_and_serves_what_waits(door: Door) -> None:
    keyed = {"Content-Type": "application/json", "Idempotency-Key": "before-the-drain"}
    body = {"body": chat_body(DRAINED)}
    first = door.ask("POST", "/v1/requests", body, keyed)
    waiting = [first.json["id"], *(door.submit(DRAINED) for _ in range(20))]
    assert switch(door, "model", DRAINED, "drain")["state"] == "draining"
    refused = door.chat(DRAINED)
    refused.assert_refused("draining")
    assert refused.headers["retry-after"]
    assert DRAINED in refused.json["error"]["message"]
    door.ask("POST", "/v1/requests", body).assert_refused("draining")
    again = door.ask("POST", "/v1/requests", body, keyed)
    assert (again.status, again.json["id"]) == (202, first.json["id"]), "it is not new"
    assert {door.ended(each)["status"] for each in waiting} == {"completed"}
    switch(door, "model", DRAINED, "resume")
    assert door.chat(DRAINED).status == 200


def test_a_paused_backend_keeps_what_was_chosen_for_it(door: Door) -> None:
    answer = switch(door, "backend", SPARE, "pause")
    assert (answer["id"], answer["object"], answer["state"]) == (SPARE, "backend", "paused")
    alone = stays(door, LONELY)
    assert seen(door, alone)["waiting_for"] == f"backend {SPARE} is paused by its operator"
    shared = [door.submit(SHARED) for _ in range(20)]
    half = [door.ask("GET", f"/v1/requests/{each}?wait=0.5").json for each in shared]
    assert {end["status"] for end in half} == {"queued", "completed"}
    assert {end["target"]["backend"] for end in half if end["target"]} == {FAKE}
    switch(door, "backend", SPARE, "resume")
    assert {door.ended(each)["status"] for each in [alone, *shared]} == {"completed"}


def test_what_waits_for_a_draining_backend_goes_elsewhere(door: Door) -> None:
    switch(door, "backend", SPARE, "pause")
    before = stays(door, LONELY)
    requests = [door.submit(SHARED) for _ in range(20)]
    assert switch(door, "backend", SPARE, "drain")["state"] == "draining"
    requests += [door.submit(SHARED) for _ in range(5)]
    ends = [door.ended(each) for each in requests]
    assert {end["target"]["backend"] for end in ends} == {FAKE}
    assert seen(door, before)["waiting_for"] == f"backend {SPARE} is being drained by its operator"
    assert states(door, "backend") == {FAKE: "running", SPARE: "draining"}
    switch(door, "backend", SPARE, "resume")
    assert door.ended(before)["target"]["backend"] == SPARE


def test_a_switch_may_be_used_twice(door: Door) -> None:
    for verb, state in (("drain", "draining"), ("pause", "paused"), ("resume", "running")):
        for _ in range(2):
            assert switch(door, "model", "echo", verb)["state"] == state
    assert door.chat("echo").status == 200


def test_what_there_is_not_has_no_switch(door: Door) -> None:
    admin = door.as_key(ADMIN)
    model = admin.ask("POST", "/admin/v1/models/drainde/drain")
    model.assert_refused("model_not_found")
    assert "did you mean `drained`?" in model.json["error"]["message"]
    backend = admin.ask("POST", "/admin/v1/backends/spar/pause")
    backend.assert_refused("backend_not_found")
    assert "did you mean `spare`?" in backend.json["error"]["message"]


def test_a_tenant_uses_no_switch(door: Door) -> None:
    for path in ("models/echo/pause", "backends/spare/drain", "models/none/resume"):
        door.ask("POST", f"/admin/v1/{path}").assert_refused("not_admin")
    assert set(states(door, "model").values()) == {"running"}
