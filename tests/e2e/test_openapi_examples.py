"""Each example request of the OpenAPI document is sent, and each answer is as documented."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from api.openapi.examples import MODEL
from tests.e2e.door import FAKE, Door, open_door
from tests.e2e.wire import Told
from tests.fakes.stack import Setup
from tests.fakes.uploads import FORM, form, jsonl, line

ADMIN = "an-admin-key-for-tests"
ENDPOINTS, FILES, BATCHES = "/v1/webhook_endpoints", "/v1/files", "/v1/batches"
MESSAGES = "/v1/messages/batches"
# What these tell has ids of its own.
OF_THEIR_OWN = (ENDPOINTS, *(f"{each}/{{id}}" for each in (FILES, BATCHES, MESSAGES)))
JSON = "application/json"


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    whole = replace(
        setup,
        server={**setup.server, "admin_key": ADMIN},
        more={"endpoints": ["/v1/rerank"]},
    )
    # The fake backend answers as the model's name says: this one plainly.
    models = {MODEL: {"targets": [{"backend": FAKE, "model": "echo"}]}}
    directory = tmp_path_factory.mktemp("openapi")
    with open_door(directory, whole, ["echo", "status-500"], models, key=ADMIN) as opened:
        yield opened


@pytest.fixture(scope="module")
def document(door: Door) -> dict[str, Any]:
    told: dict[str, Any] = door.ask("GET", "/openapi.json").json
    return told


def check(document: dict[str, Any], path: str, method: str, told: Told) -> None:
    """Assert that an answer is one that the document foresees."""
    response = document["paths"][path][method]["responses"].get(str(told.status))
    assert response is not None, (path, told)
    kind = told.headers["content-type"].partition(";")[0]
    content = response["content"].get(kind) or response["content"].get("*/*")
    assert content is not None, (path, told.headers)
    if kind == JSON:
        whole = {**content["schema"], "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(told.json)
    for name in response.get("headers", {}):
        if name not in ("Idempotent-Replayed", "Preference-Applied", "x-incomplete"):
            assert name.lower() in told.headers, (path, name)


def test_every_example_body_is_answered_as_documented(door: Door, document: dict[str, Any]) -> None:
    sent = 0
    for path, methods in document["paths"].items():
        body = methods.get("post", {}).get("requestBody", {"content": {}})
        if not body["content"] or path.startswith((ENDPOINTS, FILES, BATCHES)):
            continue
        kind, content = next(iter(body["content"].items()))
        example = content["example"]
        asked = example.encode() if isinstance(example, str) else example
        told = door.ask("POST", path, asked, {"Content-Type": kind})
        assert told.status in (200, 202), (path, told)
        check(document, path, "post", told)
        sent += 1
        if {"$ref": "#/components/parameters/prefer"} in methods["post"].get("parameters", ()):
            headers = {"Content-Type": "application/json", "Prefer": "respond-async"}
            later = door.ask("POST", path, example, headers)
            assert (later.status, later.headers["preference-applied"]) == (202, "respond-async")
            check(document, path, "post", later)
    assert sent >= 5


def test_every_read_is_answered_as_documented(door: Door, document: dict[str, Any]) -> None:
    done = door.submit("echo")
    door.ended(done)
    responded = door.ask("POST", "/v1/responses", {"model": MODEL, "input": "Hi"}).json["id"]
    for path, methods in document["paths"].items():
        if "get" not in methods or path.startswith(("/admin/v1/dead-letters/{", *OF_THEIR_OWN)):
            continue
        one = responded if path.startswith("/v1/responses") else done
        concrete = path.replace("{id}", one).replace("{name}", MODEL)
        told = door.ask("GET", concrete)
        assert told.status == 200, (path, told)
        check(document, path, "get", told)


def test_a_dead_letter_goes_its_documented_ways(door: Door, document: dict[str, Any]) -> None:
    base = "/admin/v1/dead-letters"
    dead = door.submit("status-500")
    assert door.ended(dead)["error"]["code"] == "attempts_exhausted"
    listed = door.ask("GET", base)
    check(document, base, "get", listed)
    assert dead in [item["id"] for item in listed.json["data"]]
    whole = door.ask("GET", f"{base}/{dead}")
    check(document, f"{base}/{{id}}", "get", whole)
    assert whole.json["request"]["model"] == "status-500"

    redriven = door.ask("POST", f"{base}/{dead}/redrive")
    check(document, f"{base}/{{id}}/redrive", "post", redriven)
    new = redriven.json["id"]
    assert (redriven.status, redriven.json["redrive_of"]) == (202, dead)
    again = door.ask("POST", f"{base}/{dead}/redrive")
    assert (again.json["id"], again.headers["idempotent-replayed"]) == (new, "true")
    assert door.ask("GET", f"{base}/{dead}").json["redriven_as"] == new
    assert door.ended(new)["status"] == "failed"
    assert door.ended(dead)["status"] == "failed"
    assert len(door.calls_of(new)) == 1

    purged = door.ask("DELETE", f"{base}/{dead}")
    check(document, f"{base}/{{id}}", "delete", purged)
    door.ask("GET", f"{base}/{dead}").assert_refused("request_not_found")
    gone = door.ask("DELETE", f"{base}/{dead}")
    gone.assert_refused("request_not_found")
    # The request is still there, so that "no request" would be wrong.
    assert gone.json["error"]["message"] == "No dead letter has this id."
    door.ask("POST", f"{base}/{dead}/redrive").assert_refused("request_not_found")
    assert door.ended(dead)["status"] == "failed"
    foreign = door.ask("DELETE", f"{base}/foreign")
    check(document, f"{base}/foreign", "delete", foreign)


def test_a_webhook_endpoint_goes_its_documented_ways(door: Door, document: dict[str, Any]) -> None:
    def bodies(path: str) -> Any:
        return document["paths"][path]["post"]["requestBody"]["content"][JSON]

    made = door.ask("POST", ENDPOINTS, bodies(ENDPOINTS)["example"])
    check(document, ENDPOINTS, "post", made)
    listed = door.ask("GET", ENDPOINTS)
    check(document, ENDPOINTS, "get", listed)
    assert [each["id"] for each in listed.json["data"]] == [made.json["id"]]
    base, one = f"{ENDPOINTS}/{{id}}", f"{ENDPOINTS}/{made.json['id']}"
    for verb in ("", "/rotate_secret"):
        told = door.ask("POST", one + verb, bodies(base + verb)["example"])
        assert told.status == 200, told
        check(document, base + verb, "post", told)
    # Nobody is sent anything: it is disabled, and so not even tested.
    door.ask("POST", one, {"disabled": True})
    told = door.ask("POST", f"{one}/test", bodies(f"{base}/test")["example"])
    told.assert_refused("webhook_unreachable")
    check(document, f"{base}/test", "post", told)
    for verb in ("", "/deliveries"):
        check(document, base + verb, "get", door.ask("GET", one + verb))
    check(document, base, "delete", door.ask("DELETE", one))
    door.ask("GET", one).assert_refused("webhook_endpoint_not_found")


def test_files_and_batches_go_their_documented_ways(door: Door, document: dict[str, Any]) -> None:
    def step(method: str, path: str, one: str, *sent: Any) -> dict[str, Any]:
        told = door.ask(method, path.replace("{id}", one), *sent)
        assert told.status in (200, 206), (path, told)
        check(document, path, method.lower(), told)
        answer: dict[str, Any] = told.json if told.headers["content-type"] == JSON else {}
        return answer

    file, batch = f"{FILES}/{{id}}", f"{BATCHES}/{{id}}"
    lines = jsonl([line("1", MODEL), line("2", "status-500")])
    file_id = step("POST", FILES, "", form(lines), FORM)["id"]
    step("GET", file, file_id)
    step("GET", f"{file}/content", file_id)
    step("GET", f"{file}/content", file_id, None, {"Range": "bytes=1-"})
    example = document["paths"][BATCHES]["post"]["requestBody"]["content"][JSON]["example"]
    made = step("POST", BATCHES, "", {**example, "input_file_id": file_id})["id"]
    for verb in ("pause", "resume"):
        step("POST", f"{batch}/{verb}", made)
    step("GET", f"{batch}/events", made)  # until its end
    ended = step("GET", batch, made)
    assert ended["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    retry = step("POST", f"{batch}/retry-failed", made)
    step("POST", f"{batch}/cancel", retry["id"])
    step("DELETE", file, file_id)


def test_a_batch_of_messages_goes_its_documented_ways(door: Door, document: dict[str, Any]) -> None:
    example = document["paths"][MESSAGES]["post"]["requestBody"]["content"]["application/json"]
    batch = door.ask("POST", MESSAGES, example["example"]).json
    one, base = f"{MESSAGES}/{batch['id']}", f"{MESSAGES}/{{id}}"
    check(document, f"{base}/cancel", "post", door.ask("POST", f"{one}/cancel"))
    until = time.monotonic() + 30
    while batch["processing_status"] != "ended":
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        told = door.ask("GET", one)
        check(document, base, "get", told)
        batch = told.json
    check(document, f"{base}/results", "get", door.ask("GET", f"{one}/results"))
    check(document, base, "delete", door.ask("DELETE", one))
    check(document, base, "get", door.ask("GET", one))


def test_every_switch_answers_as_documented(door: Door, document: dict[str, Any]) -> None:
    switches = [p for p in document["paths"] if p.endswith(("/pause", "/drain", "/resume"))]
    switches = [path for path in switches if path.startswith("/admin/")]
    assert len(switches) == 6
    # What was switched runs again at the end.
    for path in sorted(switches, key=lambda each: each.endswith("/resume")):
        name = FAKE if "/backends/" in path else MODEL
        told = door.ask("POST", path.replace("{name}", name))
        assert told.status == 200, (path, told)
        check(document, path, "post", told)
    assert door.chat(MODEL).status == 200


def test_a_queued_request_tells_its_place(door: Door) -> None:
    later = door.submit("echo", not_before=time.time() + 60)
    seen = door.ask("GET", f"/v1/requests/{later}").json
    assert 50 < seen["eta_s"] <= 60
    assert seen["waiting_for"].startswith("its time")
    door.ask("POST", f"/v1/requests/{later}/cancel", {})
