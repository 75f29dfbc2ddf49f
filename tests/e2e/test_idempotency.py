"""The same Idempotency-Key is the same request; an SDK's retry joins the one it repeats."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.door import Door, chat_body, open_door
from tests.e2e.wire import Told
from tests.fakes.stack import Setup

SUBMIT, CHAT = "/v1/requests", "/v1/chat/completions"
JSON = {"Content-Type": "application/json"}
SLOW = "slow-700"


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("idempotency")
    with open_door(directory, setup, ["echo", SLOW, "status-400"]) as opened:
        yield opened


def keyed(key: str) -> dict[str, str]:
    return {**JSON, "Idempotency-Key": key}


def test_the_same_submission_is_the_same_request(door: Door) -> None:
    body = {"body": chat_body("echo", "once")}
    first = door.ask("POST", SUBMIT, body, keyed("submit-1"))
    again = door.ask("POST", SUBMIT, body, keyed("submit-1"))
    assert (first.status, again.status) == (202, 202)
    assert first.json["id"] == again.json["id"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    done = door.ended(first.json["id"])
    later = door.ask("POST", SUBMIT, body, keyed("submit-1"))
    assert later.json["status"] == done["status"] == "completed"
    assert len(door.calls_of(first.json["id"])) == 1


def test_another_body_or_path_is_a_conflict(door: Door) -> None:
    body = {"body": chat_body("echo", "conflict")}
    assert door.ask("POST", SUBMIT, body, keyed("conflict-1")).status == 202
    other = {"body": chat_body("echo", "other")}
    door.ask("POST", SUBMIT, other, keyed("conflict-1")).assert_refused("idempotency_conflict")
    told = door.ask("POST", CHAT, chat_body("echo", "conflict"), keyed("conflict-1"))
    told.assert_refused("idempotency_conflict")
    spaced = b' {"body": {"model": "echo", "messages": []}}'
    assert door.ask("POST", SUBMIT, spaced[1:], keyed("conflict-2")).status == 202
    door.ask("POST", SUBMIT, spaced, keyed("conflict-2")).assert_refused("idempotency_conflict")


def test_a_held_call_is_answered_alike_while_it_runs_and_after(door: Door) -> None:
    body = chat_body(SLOW, "held")
    with ThreadPoolExecutor(4) as callers:
        told = list(callers.map(lambda _: door.ask("POST", CHAT, body, keyed("held-1")), range(4)))
    assert [each.status for each in told] == [200] * 4
    assert len({each.body for each in told}) == 1
    assert sum("idempotent-replayed" in each.headers for each in told) == 3
    later = door.ask("POST", CHAT, body, keyed("held-1"))
    assert later.body == told[0].body
    assert len(door.calls_of(later.headers["x-request-id"])) == 1


def test_a_backends_refusal_is_replayed_too(door: Door) -> None:
    first = door.ask("POST", CHAT, chat_body("status-400"), keyed("refused-1"))
    again = door.ask("POST", CHAT, chat_body("status-400"), keyed("refused-1"))
    assert (first.status, again.status) == (400, 400)
    assert first.body == again.body
    assert len(door.calls_of(first.headers["x-request-id"])) == 1


def test_a_refusal_at_the_door_is_not_remembered(door: Door) -> None:
    unknown = {"body": chat_body("gpt-none")}
    door.ask("POST", SUBMIT, unknown, keyed("unknown-1")).assert_refused("model_not_found")
    known = {"body": chat_body("echo")}
    assert door.ask("POST", SUBMIT, known, keyed("unknown-1")).status == 202


def test_many_submissions_at_once_make_one_request(door: Door) -> None:
    body = {"body": chat_body("echo", "storm")}
    with ThreadPoolExecutor(16) as callers:
        told = list(
            callers.map(lambda _: door.ask("POST", SUBMIT, body, keyed("storm-1")), range(48))
        )
    assert {each.status for each in told} == {202}
    assert len({each.json["id"] for each in told}) == 1
    assert sum("idempotent-replayed" not in each.headers for each in told) == 1
    door.ended(told[0].json["id"])
    assert len(door.calls_of(told[0].json["id"])) == 1


@pytest.mark.parametrize("key", ["", "k" * 256, "two words", "tab\there", "\xe4"])
def test_a_key_must_be_visible_ascii(door: Door, key: str) -> None:
    told = door.ask("POST", SUBMIT, {"body": chat_body("echo")}, keyed(key))
    told.assert_refused("invalid_body")
    assert told.json["error"]["param"] == "Idempotency-Key"


def sdk_retry(count: int) -> dict[str, str]:
    return {**JSON, "x-stainless-retry-count": str(count), "x-stainless-read-timeout": "600"}


def test_an_sdk_retry_joins_the_request_that_runs(door: Door) -> None:
    body = chat_body(SLOW, "sdk")
    told: list[Told] = []
    first = threading.Thread(target=lambda: told.append(door.ask("POST", CHAT, body, sdk_retry(0))))
    first.start()
    time.sleep(0.3)
    joined = door.ask("POST", CHAT, body, sdk_retry(1))
    first.join(10)
    assert (joined.status, told[0].status) == (200, 200)
    assert joined.body == told[0].body
    assert joined.headers["x-request-id"] == told[0].headers["x-request-id"]
    assert joined.headers["idempotent-replayed"] == "true"
    assert len(door.calls_of(joined.headers["x-request-id"])) == 1


def test_an_sdk_retry_of_what_has_ended_is_a_new_request(door: Door) -> None:
    body = chat_body("echo", "ended")
    first = door.ask("POST", CHAT, body, sdk_retry(0))
    again = door.ask("POST", CHAT, body, sdk_retry(1))
    assert first.headers["x-request-id"] != again.headers["x-request-id"]


def test_equal_calls_that_are_no_retries_stay_apart(door: Door) -> None:
    body = chat_body(SLOW, "twins")
    with ThreadPoolExecutor(3) as callers:
        told = list(callers.map(lambda _: door.ask("POST", CHAT, body, sdk_retry(0)), range(3)))
    assert len({each.headers["x-request-id"] for each in told}) == 3


def test_a_joined_call_outlives_the_one_that_hangs_up(door: Door) -> None:
    """The first caller leaves; the request is cancelled only when nobody holds it any more."""
    body = chat_body(SLOW, "outlives")
    joined: list[Told] = []
    # Both calls are under way before the first one's patience ends.
    second = threading.Timer(0.2, lambda: joined.append(door.ask("POST", CHAT, body, sdk_retry(1))))
    second.start()
    with pytest.raises(TimeoutError):
        door.ask("POST", CHAT, body, sdk_retry(0), timeout_s=0.4)
    second.join(10)
    assert joined[0].status == 200
