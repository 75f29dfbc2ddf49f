"""Bodies and answers of megabytes through every door: they travel in blobs, and nobody sees it."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from schemas.blob_config import S3Config
from tests.e2e.door import Door, open_door
from tests.fakes.reading import reading
from tests.fakes.stack import Setup

KIB, MIB = 1024, 1024 * 1024
SIZES = pytest.mark.parametrize("size", [300 * KIB, 7 * MIB])
ADMIN_KEY = "an-admin-key-of-this-test"
CHAT, EMBEDDINGS, RESPONSES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
# Of the fake backend's answer, for each input.
_VECTOR_BYTES = 64
_GROWTH_KIB = 128 * KIB


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("large")
    with_admin = replace(
        setup,
        server={**setup.server, "admin_key": ADMIN_KEY},
        more={"endpoints": [TRANSCRIPTIONS]},
    )
    models = ["echo", "words-4000-0", "status-500"]
    opening = open_door(
        directory,
        with_admin,
        models,
        more_models={"their-*": {"targets": [{"backend": "fake", "model": "*"}]}},
        key=ADMIN_KEY,
        growth_kib=_GROWTH_KIB,
    )
    with opening as opened:
        yield opened


def chat(size: int, model: str = "echo", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "x" * size}], **more}


def inputs(size: int) -> dict[str, Any]:
    """Return a small body of embeddings whose answer has `size` bytes or a little more."""
    return {"model": "echo", "input": ["x"] * (size // _VECTOR_BYTES + 1)}


def sent(body: dict[str, Any], model: str = "echo") -> str:
    """Return the digest of what the backend has to get."""
    return hashlib.sha256(json.dumps({**body, "model": model}).encode()).hexdigest()


def blobs_of(door: Door, request_id: str) -> dict[str, Path]:
    """Return the blobs of a request by their kind."""
    kept = door.stack.directory / "data" / "blobs" / "kept" / "until"
    found = [path for path in kept.glob("*/*") if path.name.startswith(request_id)]
    return {path.suffix[1:]: path for path in found}


@SIZES
def test_a_held_call_s_body_reaches_the_backend_byte_for_byte(door: Door, size: int) -> None:
    body = chat(size)
    told = door.ask("POST", CHAT, body)
    assert told.status == 200, told
    request_id = told.headers["x-request-id"]
    assert [call["body_sha256"] for call in door.calls_of(request_id)] == [sent(body)]
    assert set(blobs_of(door, request_id)) == {"body"}


def test_the_model_s_name_is_replaced_in_a_large_body(door: Door) -> None:
    told = door.ask("POST", CHAT, chat(300 * KIB, "their-own"))
    assert told.json["model"] == "own"
    (call,) = door.calls_of(told.headers["x-request-id"])
    assert call["body_sha256"] == sent(chat(300 * KIB), "own")


@SIZES
def test_a_large_answer_is_the_backend_s_at_every_door(door: Door, size: int) -> None:
    held = door.ask("POST", EMBEDDINGS, inputs(size))
    assert held.status == 200
    assert len(held.body) > size
    request_id = held.headers["x-request-id"]
    assert "result" in blobs_of(door, request_id)
    alone = door.ask("GET", f"/v1/requests/{request_id}/response")
    assert (alone.status, alone.body) == (200, held.body)
    shown = door.ask("GET", f"/v1/requests/{request_id}").json
    assert shown["usage"]["input_tokens"] == len(held.json["data"])
    # As a request object shows it: whole up to 1 MiB.
    assert shown["response"]["body"] == (held.json if size < MIB else None)
    listed = door.ask("GET", "/v1/requests?limit=1").json["data"][0]
    assert (listed["id"], listed["status"]) == (request_id, "completed")


def test_the_native_door_takes_and_tells_large_ones(door: Door) -> None:
    body = {**inputs(300 * KIB), "user": "u" * 300 * KIB}
    told = door.ask("POST", "/v1/requests", {"endpoint": EMBEDDINGS, "body": body})
    assert told.status == 202
    ended = door.ended(told.json["id"])
    assert len(ended["response"]["body"]["data"]) == len(body["input"])
    assert set(blobs_of(door, ended["id"])) == {"body", "result"}


def test_a_large_stream_is_told_as_it_comes_and_afterwards(door: Door) -> None:
    body = chat(300 * KIB, "words-4000-0", stream=True)
    with reading(door.stack.url, "POST", CHAT, body, _authorized()) as reader:
        request_id, told = reader.headers["x-request-id"], list(reader)
    assert len(told) > 4_000
    assert set(blobs_of(door, request_id)) == {"body", "result"}
    path = f"/v1/requests/{request_id}/events"
    with reading(door.stack.url, "GET", path, headers=_authorized()) as reader:
        again = [event for event in reader if event.name is None]
    assert [event.data for event in again] == [event.data for event in told]
    alone = door.ask("GET", f"/v1/requests/{request_id}/response")
    assert alone.headers["content-type"].startswith("text/event-stream")
    assert alone.body.count(b"data: ") == len(told)


def test_a_large_conversation_goes_on(door: Door) -> None:
    said = "x" * 300 * KIB
    first = door.ask("POST", RESPONSES, {"model": "echo", "input": said}).json
    assert door.ask("GET", f"{RESPONSES}/{first['id']}").json == first
    items = door.ask("GET", f"{RESPONSES}/{first['id']}/input_items").json["data"]
    assert items[0]["content"][0]["text"] == said
    asked = {"model": "echo", "input": "and?", "previous_response_id": first["id"]}
    second = door.ask("POST", RESPONSES, asked).json
    items = door.ask("GET", f"{RESPONSES}/{second['id']}/input_items").json["data"]
    assert said in json.dumps(items)
    assert len(items) == 3


def test_a_deleted_response_leaves_no_blob(door: Door) -> None:
    made = door.ask("POST", RESPONSES, {"model": "echo", "input": "x" * 300 * KIB}).json["id"]
    request_id = made.replace("resp_", "req_")
    assert set(blobs_of(door, request_id)) == {"body"}
    assert door.ask("DELETE", f"{RESPONSES}/{made}").status == 200
    assert blobs_of(door, request_id) == {}
    door.ask("GET", f"{RESPONSES}/{made}").assert_refused("request_not_found")


def test_a_large_form_reaches_the_backend(door: Door) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + b"\x00\xff" * 200 * KIB
        + b'\r\n--b\r\nContent-Disposition: form-data; name="model"\r\n\r\necho\r\n--b--\r\n'
    )
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    told = door.ask("POST", TRANSCRIPTIONS, form, kind)
    assert told.json["model"] == "echo"
    (call,) = door.calls_of(told.headers["x-request-id"])
    assert call["body_sha256"] == hashlib.sha256(form).hexdigest()


def test_a_repeat_is_the_same_request_and_another_body_is_not(door: Door) -> None:
    key = {"Content-Type": "application/json", "Idempotency-Key": "large-once"}
    body = {"body": chat(300 * KIB)}
    first = door.ask("POST", "/v1/requests", body, key)
    again = door.ask("POST", "/v1/requests", body, key)
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    assert again.headers["idempotent-replayed"] == "true"
    other = door.ask("POST", "/v1/requests", {"body": chat(301 * KIB)}, key)
    other.assert_refused("idempotency_conflict")
    assert door.ended(first.json["id"])["status"] == "completed"
    (call,) = door.calls_of(first.json["id"])
    assert call["body_sha256"] == sent(chat(300 * KIB))


def test_a_dead_letter_is_shown_and_sent_again_with_its_body(door: Door) -> None:
    body = chat(300 * KIB, "status-500")
    dead = door.ask("POST", "/v1/requests", {"body": body}).json["id"]
    assert door.ended(dead)["status"] == "failed"
    path = f"/admin/v1/dead-letters/{dead}"
    assert door.ask("GET", path).json["request"] == body
    again = door.ask("POST", f"{path}/redrive", b"").json["id"]
    assert door.ended(again)["status"] == "failed"
    (call,) = door.calls_of(again)
    assert call["body_sha256"] == sent(body, "status-500")
    # Each has a blob of its own: one may be kept longer than the other.
    blobs_of(door, dead)["body"].unlink()
    assert door.ask("GET", path).json["request"] is None
    assert door.ask("GET", f"/admin/v1/dead-letters/{again}").json["request"] == body
    third = door.ask("POST", f"/admin/v1/dead-letters/{again}/redrive", b"")
    assert door.ended(third.json["id"])["error"]["code"] == "attempts_exhausted"


def test_a_dead_letter_without_its_body_is_not_sent_again(door: Door) -> None:
    dead = door.ask("POST", "/v1/requests", {"body": chat(300 * KIB, "status-500")}).json["id"]
    assert door.ended(dead)["status"] == "failed"
    blobs_of(door, dead)["body"].unlink()
    told = door.ask("POST", f"/admin/v1/dead-letters/{dead}/redrive", b"")
    told.assert_refused("body_lost")


def waiting(door: Door) -> str:
    """Submit a large request that does not start at once."""
    body = {"body": chat(300 * KIB), "not_before": time.time() + 1.5}
    request_id: str = door.ask("POST", "/v1/requests", body).json["id"]
    return request_id


def test_a_body_that_is_gone_ends_its_request(door: Door) -> None:
    request_id = waiting(door)
    blobs_of(door, request_id)["body"].unlink()
    ended = door.ended(request_id)
    assert (ended["status"], ended["error"]["code"]) == ("failed", "body_lost")
    assert ended["attempts"] == 0
    door.ask("GET", f"/v1/requests/{request_id}/response").assert_refused("body_lost")
    assert door.calls_of(request_id) == []


def test_a_place_that_is_away_is_waited_for_and_costs_no_attempt(door: Door) -> None:
    request_id = waiting(door)
    place = door.stack.directory / "data" / "blobs"
    place.rename(place.with_name("unmounted"))
    try:
        told = door.ask("GET", "/ready")
        assert (told.status, "blobs" in told.json["checks"]) == (503, True)
        door.ask("POST", CHAT, chat(300 * KIB)).assert_refused("blobs_unavailable")
        # What is small does not need it.
        assert door.chat("echo").status == 200
        # Until it has met it at least once.
        time.sleep(2.5)
        assert door.ask("GET", f"/v1/requests/{request_id}").json["status"] == "queued"
    finally:
        place.with_name("unmounted").rename(place)
    ended = door.ended(request_id)
    assert (ended["status"], ended["attempts"]) == ("completed", 1)


def test_a_result_that_is_gone_is_told_so(door: Door) -> None:
    held = door.ask("POST", EMBEDDINGS, inputs(300 * KIB))
    request_id = held.headers["x-request-id"]
    blobs_of(door, request_id)["result"].unlink()
    door.ask("GET", f"/v1/requests/{request_id}/response").assert_refused("result_lost")
    shown = door.ask("GET", f"/v1/requests/{request_id}").json
    assert (shown["status"], shown["response"]["body"]) == ("completed", None)


def _authorized() -> dict[str, str]:
    return {"Authorization": f"Bearer {ADMIN_KEY}", "Content-Type": "application/json"}


@pytest.mark.realservers
def test_api_and_worker_meet_in_a_bucket(
    amqp_url: str, redis_url: str, s3: S3Config, tmp_path: Path
) -> None:
    setup = Setup(
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": f"t{secrets.token_hex(4)}"},
        more={"blobs": {"s3": s3.model_dump()}},
    )
    with open_door(tmp_path, setup, ["echo"], growth_kib=_GROWTH_KIB) as door:
        body = {**inputs(7 * MIB), "user": "u" * 300 * KIB}
        told = door.ask("POST", EMBEDDINGS, body)
        assert len(told.json["data"]) == len(body["input"])
        (call,) = door.calls_of(told.headers["x-request-id"])
        assert call["body_sha256"] == sent(body)
        assert door.ask("GET", "/ready").json["checks"]["blobs"] == "ok"
        assert not (tmp_path / "data" / "blobs").exists()
