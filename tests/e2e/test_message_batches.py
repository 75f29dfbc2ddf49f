"""/v1/messages/batches over HTTP: keys, refusals in Anthropic's shape, and what is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import orjson
import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import Door, open_door
from tests.e2e.wire import Told
from tests.fakes.stack import Setup

ACME, GLOBEX = new_key(), new_key()
JSON = {"Content-Type": "application/json"}
PATH = "/v1/messages/batches"
UNKNOWN = "msgbatch_00" + "0" * 32


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    # What depends on the engine is tried by test_anthropic_sdk.py and the conformance suites.
    tenants = {
        "acme": {"keys": [{"name": "ci", "hash": hash_of(ACME)}], "models": ["*"]},
        "globex": {"keys": [{"name": "app", "hash": hash_of(GLOBEX)}], "models": ["slow-*"]},
    }
    more = {"tenants": tenants, "files": {"max_bytes": 100_000}}
    directory = tmp_path_factory.mktemp("messages")
    models = ["echo", "slow-60000"]
    with open_door(directory, Setup(more=more), models, key=ACME) as opened:
        yield opened


def body(*custom_ids: str, model: str = "echo", **params: Any) -> dict[str, Any]:
    whole = {"model": model, "max_tokens": 8, "messages": [], **params}
    return {"requests": [{"custom_id": each, "params": whole} for each in custom_ids]}


def refused(told: Told, code: str) -> str:
    """Return the message of a refusal in Anthropic's shape."""
    told.assert_refused(code)
    assert (told.json["type"], told.json["request_id"]) == ("error", None)
    message: str = told.json["error"]["message"]
    return message


def created(door: Door, *custom_ids: str, model: str = "echo", **headers: str) -> dict[str, Any]:
    told = door.ask("POST", PATH, body(*custom_ids, model=model), {**JSON, **headers})
    assert told.status == 200, told
    batch: dict[str, Any] = told.json
    return batch


def ended(door: Door, batch: dict[str, Any]) -> dict[str, Any]:
    until = time.monotonic() + 60
    while batch["processing_status"] != "ended":
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        batch = door.ask("GET", f"{PATH}/{batch['id']}").json
    return batch


def test_a_key_is_shown_by_either_header(door: Door) -> None:
    anyone = door.as_key(None)
    assert anyone.ask("GET", PATH, headers={"x-api-key": ACME}).status == 200
    both = {"x-api-key": ACME, "Authorization": f"Bearer {ACME}"}
    assert anyone.ask("GET", PATH, headers=both).status == 200
    assert anyone.ask("GET", "/v1/models", headers={"x-api-key": ACME}).status == 200
    differing = {"x-api-key": GLOBEX, "Authorization": f"Bearer {ACME}"}
    refused(anyone.ask("GET", PATH, headers=differing), "invalid_api_key")
    anyone.ask("GET", "/v1/models", headers=differing).assert_refused("invalid_api_key")
    refused(anyone.ask("GET", PATH, headers={"x-api-key": "psk_wrong"}), "invalid_api_key")
    refused(anyone.ask("GET", PATH), "invalid_api_key")


def test_whatever_is_refused_below_messages_has_anthropics_shape(door: Door) -> None:
    refused(door.ask("PUT", PATH), "method_not_allowed")
    refused(door.ask("GET", f"{PATH}/a/b/c"), "route_not_found")
    refused(door.ask("POST", PATH, b"{}", {"Content-Type": "text/plain"}), "unsupported_media_type")
    refused(door.ask("GET", f"{PATH}/{UNKNOWN}"), "batch_not_found")
    refused(door.ask("GET", f"{PATH}/batch_00{'0' * 32}"), "batch_not_found")
    refused(door.ask("GET", f"{PATH}?limit=1001"), "invalid_body")
    refused(door.ask("GET", f"{PATH}?limit=0"), "invalid_body")
    refused(door.ask("GET", f"{PATH}?after_id={UNKNOWN}&before_id={UNKNOWN}"), "invalid_body")
    refused(door.ask("GET", f"{PATH}?before_id={UNKNOWN}"), "invalid_body")
    refused(door.ask("GET", f"{PATH}?after_id=x"), "invalid_body")
    long = door.ask("GET", f"{PATH}/{'a' * 20_000}")
    refused(long, "uri_too_long")


@pytest.mark.parametrize(
    ("sent", "code", "says"),
    [
        (b"", "invalid_json", ""),
        (b'{"requests": [', "invalid_json", ""),
        (b"[]", "invalid_body", ""),
        (orjson.dumps({}), "invalid_body", "requests: "),
        (orjson.dumps(body()), "invalid_body", "requests: "),
        (orjson.dumps({**body("a"), "more": 1}), "invalid_body", "more: "),
        (orjson.dumps(body("a", "b", "a")), "invalid_body", "requests.2.custom_id: "),
        (orjson.dumps(body("ä")), "invalid_body", "requests.0.custom_id: "),
        (orjson.dumps(body("a", model="")), "invalid_body", "requests.0.params.model: "),
        (orjson.dumps(body("a", model="gpt-9")), "model_not_found", "requests.0.params.model: "),
        (orjson.dumps(body("a", stream=True)), "streaming_unsupported", "requests.0.params.stream"),
        (orjson.dumps(body("a", "b", x="y" * 60_000)), "file_too_large", ""),
    ],
)
def test_nothing_is_kept_of_what_is_refused(door: Door, sent: bytes, code: str, says: str) -> None:
    def known() -> list[Any]:
        return [door.ask("GET", path).json["data"] for path in (PATH, "/v1/files")]

    before = known()
    assert refused(door.ask("POST", PATH, sent), code).startswith(says)
    assert known() == before


def test_a_key_opens_its_own_models_and_batches_only(door: Door) -> None:
    globex = door.as_key(GLOBEX)
    message = refused(globex.ask("POST", PATH, body("a")), "model_not_allowed")
    assert message.startswith("requests.0.params.model: ")
    batch = created(door, "a")
    assert batch["id"] not in [each["id"] for each in globex.ask("GET", PATH).json["data"]]
    refused(globex.ask("GET", f"{PATH}?after_id={batch['id']}"), "invalid_body")
    one = f"{PATH}/{batch['id']}"
    for method, path in (
        ("GET", one),
        ("DELETE", one),
        ("POST", f"{one}/cancel"),
        ("GET", f"{one}/results"),
    ):
        foreign = globex.ask(method, path)
        assert foreign.body == globex.ask(method, path.replace(batch["id"], UNKNOWN)).body
        refused(foreign, "batch_not_found")


def test_each_dialect_shows_its_own_batches(door: Door) -> None:
    batch = created(door, "a")
    name = batch["id"].replace("msgbatch_", "batch_")
    door.ask("GET", f"/v1/batches/{name}").assert_refused("batch_not_found")
    door.ask("POST", f"/v1/batches/{name}/cancel").assert_refused("batch_not_found")
    assert name not in [each["id"] for each in door.ask("GET", "/v1/batches").json["data"]]
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    line["body"] = {"model": "echo", "messages": []}  # type: ignore[assignment]  # a line is a dict of anything
    file_id = uploaded(door, orjson.dumps(line))
    asked = {
        "input_file_id": file_id,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    }
    other = door.ask("POST", "/v1/batches", asked).json["id"].replace("batch_", "msgbatch_")
    refused(door.ask("GET", f"{PATH}/{other}"), "batch_not_found")
    assert other not in [each["id"] for each in door.ask("GET", PATH).json["data"]]


def uploaded(door: Door, lines: bytes) -> str:
    form = (
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n%b\r\n--x--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    told = door.ask("POST", "/v1/files", form % lines, kind)
    assert told.status == 200, told
    file_id: str = told.json["id"]
    return file_id


def test_results_are_there_once_it_has_ended(door: Door) -> None:
    batch = created(door, "a", "b", model="slow-60000")
    one = f"{PATH}/{batch['id']}"
    refused(door.ask("GET", f"{one}/results"), "results_not_ready")
    refused(door.ask("DELETE", one), "batch_not_ended")
    assert door.ask("POST", f"{one}/cancel").json["processing_status"] in ("canceling", "ended")
    batch = ended(door, batch)
    assert batch["results_url"] == f"{door.stack.url}{one}/results"
    forwarded = door.ask("GET", one, headers={"X-Forwarded-Proto": "https"}).json
    assert forwarded["results_url"] == batch["results_url"].replace("http:", "https:")
    told = door.ask("GET", f"{one}/results")
    assert told.headers["content-type"] == "application/x-jsonl"
    assert sorted(map(orjson.loads, told.body.splitlines()), key=str) == [
        {"custom_id": custom_id, "result": {"type": "canceled"}} for custom_id in "ab"
    ]
    assert door.ask("GET", f"{one}/results".removeprefix("/v1")).body == told.body


def test_results_that_were_deleted_are_not_told_as_none(door: Door) -> None:
    batch = ended(door, created(door, "a"))
    files = door.ask("GET", "/v1/files?purpose=batch_output").json["data"]
    name = batch["id"].replace("msgbatch_", "batch_")
    (output,) = [each["id"] for each in files if each["filename"].startswith(name)]
    assert door.ask("DELETE", f"/v1/files/{output}").status == 200
    gone = door.ask("GET", f"{PATH}/{batch['id']}/results")
    assert refused(gone, "file_not_found") == "The results of this batch are gone."


def test_a_deleted_batch_leaves_no_files(door: Door) -> None:
    before = door.ask("GET", "/v1/files").json["data"]
    batch = ended(door, created(door, "a"))
    assert len(door.ask("GET", "/v1/files").json["data"]) == len(before) + 2
    assert door.ask("DELETE", f"{PATH}/{batch['id']}").status == 200
    assert door.ask("GET", "/v1/files").json["data"] == before


def test_one_key_is_one_batch(door: Door) -> None:
    key = {"Idempotency-Key": "once"}
    batch = created(door, "a", "b", **key)
    again = door.ask("POST", PATH, body("a", "b"), {**JSON, **key})
    assert (again.json["id"], again.headers["idempotent-replayed"]) == (batch["id"], "true")
    refused(door.ask("POST", PATH, body("a", "c"), {**JSON, **key}), "idempotency_conflict")
    globex = door.as_key(GLOBEX)
    other = created(globex, "a", model="slow-60000", **key)
    assert other["id"] != batch["id"]
    globex.ask("POST", f"{PATH}/{other['id']}/cancel")
    ended(globex, other)
    inputs = door.ask("GET", "/v1/files?purpose=batch").json["data"]
    named = [each for each in inputs if each["filename"] == f"{batch['id']}.jsonl"]
    assert len(named) == 1


def test_the_backend_gets_what_was_sent(door: Door) -> None:
    params = (
        b'{"max_tokens": 1, "messages":[ ],"x":[1.10,1e2,"\\u00e4 \xc3\xa4"],\n"model" :"echo"}'
    )
    sent = b'{"requests":[{"custom_id":"exact","params":%b}]}' % params
    told = door.ask("POST", PATH, sent)
    assert told.status == 200, told
    ended(door, told.json)
    digits = told.json["id"].removeprefix("msgbatch_")
    (call,) = door.calls_of(f"req_{digits[:26]}{0:08x}")
    assert call["body_sha256"] == sha256(params.replace(b"\n", b" ")).hexdigest()
