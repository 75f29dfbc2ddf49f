"""Batches over HTTP: created once, followed, paused, cancelled, done again; each tenant's own."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.batching import (
    BATCHES,
    CHAT,
    FILES,
    asked,
    content,
    create,
    ended,
    lines_of,
    outcome,
    read,
    until,
    upload,
)
from tests.e2e.door import Door, open_door
from tests.e2e.wire import Told
from tests.fakes.reading import Event, reading
from tests.fakes.receiver import Receiver, receiving
from tests.fakes.stack import Setup
from tests.fakes.uploads import jsonl, line

ACME, GLOBEX, NARROW = new_key(), new_key(), new_key()
UNKNOWN = "00" + "0" * 32
SLOW = "slow-300"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as opened:
        yield opened


@pytest.fixture(scope="module")
def door(
    setup: Setup, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    opened = {"acme": (ACME, "*"), "globex": (GLOBEX, "*"), "narrow": (NARROW, "echo")}
    tenants = {
        name: {"keys": [{"name": "ci", "hash": hash_of(key)}], "models": [models]}
        for name, (key, models) in opened.items()
    }
    hooks = {"allow": [f"127.0.0.1:{receiver.port}"]}
    whole = replace(setup, more={"tenants": tenants, "webhooks": hooks})
    directory = tmp_path_factory.mktemp("batches")
    models = ["echo", SLOW, "slow-60000", "status-400"]
    with open_door(directory, whole, models, timeout_s=300, key=ACME) as opened_door:
        yield opened_door


def post(door: Door, file_id: str, headers: dict[str, str] | None = None, **fields: Any) -> Told:
    sent = {"Content-Type": "application/json", **(headers or {})}
    return door.ask("POST", BATCHES, asked(file_id, **fields), sent)


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"input_file_id": f"file-{UNKNOWN}"}, "file_not_found", "input_file_id"),
        ({"input_file_id": "../../x"}, "file_not_found", "input_file_id"),
        ({"input_file_id": None}, "invalid_body", "input_file_id"),
        ({"endpoint": None}, "invalid_body", "endpoint"),
        ({"endpoint": "/admin/v1/keys"}, "unsupported_endpoint", "endpoint"),
        ({"endpoint": f"{CHAT}/../x"}, "unsupported_endpoint", "endpoint"),
        ({"endpoint": f"http://x{CHAT}"}, "unsupported_endpoint", "endpoint"),
        ({"completion_window": None}, "invalid_body", "completion_window"),
        ({"completion_window": "soon"}, "invalid_body", "completion_window"),
        ({"completion_window": "8d"}, "invalid_body", "completion_window"),
        ({"metadata": {"k": 1}}, "invalid_body", "metadata.k"),
        ({"order": "random"}, "invalid_body", "order"),
        ({"priority": 9}, "invalid_body", "priority"),
        ({"webhook": "http://127.0.0.1/x"}, "invalid_webhook_url", "webhook.url"),
    ],
)
def test_what_cannot_be_created_is_refused_by_name(
    door: Door, fields: dict[str, Any], code: str, param: str
) -> None:
    known = door.ask("GET", BATCHES).json
    told = door.ask("POST", BATCHES, asked(upload(door, b"{}"), **fields))
    told.assert_refused(code)
    assert told.json["error"]["param"] == param
    assert door.ask("GET", BATCHES).json == known


def test_a_file_for_something_else_or_that_expires_too_soon_is_refused(door: Door) -> None:
    other = upload(door, b"{}", fields={"purpose": "user_data"})
    told = door.ask("POST", BATCHES, asked(other))
    told.assert_refused("invalid_body")
    assert "`user_data`" in told.json["error"]["message"]
    kept = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    brief = upload(door, jsonl([line("1")]), fields={"purpose": "batch", **kept})
    told = door.ask("POST", BATCHES, asked(brief, completion_window="2h"))
    told.assert_refused("invalid_body")
    assert "expires" in told.json["error"]["message"]
    assert door.ask("POST", BATCHES, asked(brief, completion_window="30m")).status == 200


def test_a_batch_is_read_listed_and_told_to_its_own_tenant_alone(door: Door) -> None:
    made = create(door, [line("1")], metadata={"job": "nightly"}, order="input")
    assert made["id"].startswith("batch_0")
    assert (made["status"], made["metadata"]) == ("validating", {"job": "nightly"})
    assert (made["completion_window"], made["penstock"]["order"]) == ("1h", "input")
    assert made["expires_at"] - made["created_at"] in (3_600, 3_601)
    whole = ended(door, made["id"])
    assert set(whole) == set(made)
    assert outcome(door, whole)["1"]["response"]["status_code"] == 200
    other = door.as_key(GLOBEX)
    paths = ("", "/events", "/cancel", "/pause", "/resume", "/retry-failed")
    for path in paths:
        method = "GET" if path in ("", "/events") else "POST"
        foreign = other.ask(method, f"{BATCHES}/{made['id']}{path}")
        unknown = other.ask(method, f"{BATCHES}/batch_{UNKNOWN}{path}")
        foreign.assert_refused("batch_not_found")
        assert foreign.body == unknown.body
    assert other.ask("GET", BATCHES).json["data"] == []
    other.ask("GET", f"{BATCHES}?after={made['id']}").assert_refused("invalid_body")
    other.ask("GET", f"{FILES}/{whole['output_file_id']}/content").assert_refused("file_not_found")


def test_batches_are_listed_by_pages_newest_first(door: Door) -> None:
    mine = door.as_key(NARROW)
    made = [create(mine, [line("1")])["id"] for _ in range(5)]
    first = mine.ask("GET", f"{BATCHES}?limit=3").json
    assert [each["id"] for each in first["data"]] == made[:1:-1]
    assert (first["has_more"], first["last_id"]) == (True, made[2])
    second = mine.ask("GET", f"{BATCHES}?limit=3&after={first['last_id']}").json
    assert [each["id"] for each in second["data"]] == made[1::-1]
    assert second["has_more"] is False
    mine.ask("GET", f"{BATCHES}?limit=101").assert_refused("invalid_body")
    mine.ask("GET", f"{BATCHES}?order=asc").assert_refused("invalid_body")


def test_a_model_that_the_key_does_not_open_is_a_mistake_in_the_file(door: Door) -> None:
    mine = door.as_key(NARROW)
    batch = ended(mine, create(mine, [line("1"), line("2", SLOW)])["id"])
    assert batch["status"] == "failed"
    (mistake,) = batch["errors"]["data"]
    assert (mistake["code"], mistake["line"]) == ("model_not_allowed", 2)


def test_the_same_creation_under_a_key_is_one_batch(door: Door) -> None:
    file_id, keyed = upload(door, jsonl([line("1")])), {"Idempotency-Key": "batch-1"}
    with ThreadPoolExecutor(5) as pool:
        told = list(pool.map(lambda _: post(door, file_id, keyed), range(5)))
    assert {each.status for each in told} == {200}
    assert len({each.json["id"] for each in told}) == 1
    assert len([each for each in told if "idempotent-replayed" not in each.headers]) == 1
    post(door, file_id, keyed, completion_window="2h").assert_refused("idempotency_conflict")
    post(door, upload(door, b"{}"), keyed).assert_refused("idempotency_conflict")
    ended(door, told[0].json["id"])
    again = post(door, file_id, keyed)
    assert (again.json["id"], again.json["status"]) == (told[0].json["id"], "completed")


def events_of(door: Door, batch_id: str) -> list[Event]:
    headers = {"Authorization": f"Bearer {door.key}"}
    path = f"{BATCHES}/{batch_id}/events"
    with reading(door.stack.url, "GET", path, headers=headers) as reader:
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        return [event for event in reader if event.comment is None]


def test_a_batch_is_followed_by_many_from_its_creation_to_its_end(door: Door) -> None:
    made = create(door, [line(str(n), SLOW) for n in range(24)])
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: events_of(door, made["id"]), range(4)))
    end = read(door, made["id"])
    for events in told:
        assert {event.name for event in events} == {"batch"}
        seen = [event.json for event in events]
        assert seen[-1] == end
        assert end["status"] == "completed"
        assert all(before != after for before, after in pairwise(seen))
        done = [each["request_counts"]["completed"] for each in seen]
        assert done == sorted(done)
        assert len(seen) >= 3
    assert [event.json for event in events_of(door, made["id"])] == [end]


def test_a_paused_batch_rests_until_it_is_resumed(door: Door) -> None:
    made = create(door, [line("1")])
    # Paused before or after its file was read: either way nothing starts any more.
    paused = door.ask("POST", f"{BATCHES}/{made['id']}/pause").json
    assert paused["penstock"]["paused"] is True
    resumed = door.ask("POST", f"{BATCHES}/{made['id']}/resume").json
    assert resumed["penstock"]["paused"] is False
    assert ended(door, made["id"])["status"] == "completed"
    later = door.ask("POST", f"{BATCHES}/{made['id']}/pause")
    assert (later.status, later.json["status"]) == (200, "completed")


def test_the_output_of_a_running_batch_can_be_read_and_says_that_it_grows(door: Door) -> None:
    made = create(door, [line("1"), line("2", "slow-60000")])
    seen = until(door, made["id"], lambda batch: batch["request_counts"]["completed"] == 1)
    told = content(door, seen["output_file_id"])
    assert told.headers["x-incomplete"] == "true"
    assert [json.loads(each)["custom_id"] for each in told.body.splitlines()] == ["1"]
    assert (seen["penstock"]["running"], seen["penstock"]["not_started"]) == (1, 0)
    refused = door.ask("DELETE", f"{FILES}/{seen['output_file_id']}")
    refused.assert_refused("file_in_use")
    refused = door.ask("POST", f"{BATCHES}/{made['id']}/retry-failed")
    refused.assert_refused("batch_not_ended")
    cancelled = door.ask("POST", f"{BATCHES}/{made['id']}/cancel")
    assert cancelled.json["status"] == "cancelling"
    again = door.ask("POST", f"{BATCHES}/{made['id']}/cancel")
    assert (again.status, again.json["cancelling_at"]) == (200, cancelled.json["cancelling_at"])
    batch = ended(door, made["id"])
    assert (batch["status"], batch["request_counts"]["completed"]) == ("cancelled", 1)
    assert "x-incomplete" not in content(door, batch["output_file_id"]).headers
    written = outcome(door, batch)
    assert written["2"]["error"]["code"] in ("cancelled", "batch_cancelled")
    assert door.ask("DELETE", f"{FILES}/{batch['output_file_id']}").status == 200


def test_what_has_failed_is_done_again_in_a_batch_of_its_own(door: Door) -> None:
    made = create(door, [line(f"ok-{n}") for n in range(20)] + [line("bad", "status-400")])
    one = f"{BATCHES}/{made['id']}/retry-failed"
    batch = ended(door, made["id"])
    assert batch["request_counts"] == {"total": 21, "completed": 20, "failed": 1}
    keyed = {"Content-Type": "application/json", "Idempotency-Key": "retry-1"}
    with ThreadPoolExecutor(3) as pool:
        told_all = list(pool.map(lambda _: door.ask("POST", one, None, keyed), range(3)))
    assert len({each.json["id"] for each in told_all}) == 1
    retry = told_all[0].json
    assert retry["penstock"]["retry_of"] == batch["id"]
    assert retry["input_file_id"] != batch["input_file_id"]
    assert content(door, retry["input_file_id"]).body == jsonl([line("bad", "status-400")])
    retried = ended(door, retry["id"])
    assert retried["request_counts"] == {"total": 1, "completed": 0, "failed": 1}
    assert set(outcome(door, retried)) == {"bad"}
    other = {**keyed, "Idempotency-Key": "retry-1"}
    again = door.ask("POST", f"{BATCHES}/{retry['id']}/retry-failed", None, other)
    again.assert_refused("idempotency_conflict")
    door.ask("DELETE", f"{FILES}/{batch['input_file_id']}")
    door.ask("POST", one).assert_refused("file_not_found")
    clean = ended(door, create(door, [line("1")])["id"])
    door.ask("POST", f"{BATCHES}/{clean['id']}/retry-failed").assert_refused("nothing_failed")


def test_the_failed_lines_are_found_among_blank_ones_and_odd_ends(door: Door) -> None:
    bad = [json.dumps(line(f"bad-{n}", "status-400")).encode() for n in range(3)]
    good = json.dumps(line("good")).encode()
    data = b"\xef\xbb\xbf\r\n" + b"\r\n\n  \n".join([bad[0], good, bad[1]]) + b"\n\n" + bad[2]
    batch = ended(door, create(door, data)["id"])
    assert batch["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
    retry = door.ask("POST", f"{BATCHES}/{batch['id']}/retry-failed").json
    assert content(door, retry["input_file_id"]).body == b"\n".join([*bad, b""])


def test_the_end_of_a_batch_is_told_to_its_webhook(door: Door, receiver: Receiver) -> None:
    path = f"/{secrets.token_hex(4)}"
    url = f"http://127.0.0.1:{receiver.port}{path}"
    made = create(door, [line("1")], webhook={"url": url, "event_types": ["batch.completed"]})
    batch = ended(door, made["id"])
    gives_up_at = time.monotonic() + 20
    while not (got := [each for each in receiver.got if each.path == path]):
        assert time.monotonic() < gives_up_at, door.stack.logs()
        time.sleep(0.05)
    told = json.loads(got[0].body)
    assert (told["type"], told["data"]["id"]) == ("batch.completed", batch["id"])
    assert told["data"]["request_counts"] == batch["request_counts"]


def test_many_models_and_endpoints_are_run_in_input_order(door: Door) -> None:
    lines = [line(str(n), ("echo", SLOW)[n % 2]) for n in range(10)]
    batch = ended(door, create(door, lines, order="input")["id"])
    told = lines_of(door, batch["output_file_id"])
    assert [each["custom_id"] for each in told] == [str(n) for n in range(10)]
    inputs = [
        {**line(str(n), url="/v1/embeddings"), "body": {"model": "echo", "input": f"text {n}"}}
        for n in range(3)
    ]
    batch = ended(door, create(door, inputs, endpoint="/v1/embeddings")["id"])
    assert batch["model"] == "echo"
    found = outcome(door, batch)
    assert all(each["response"]["body"]["data"][0]["embedding"] for each in found.values())


def test_error_codes_are_numbers_where_that_is_asked_for(door: Door) -> None:
    batch = create(door, [line("1", "status-400")], error_codes="numbers")
    (told,) = outcome(door, ended(door, batch["id"])).values()
    assert (told["error"]["code"], told["response"]["status_code"]) == (400, 400)
