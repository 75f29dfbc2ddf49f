"""What becomes of a running call: dropped at once when cancelled, and told when it failed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.door import FAKE, Door, chat_body, open_door
from tests.fakes.stack import Setup

CANCELLED_WITHIN_S = 1.0


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    targets = [{"backend": FAKE, "model": "status-502"}]
    more = {"twice": {"targets": targets, "retry": {"max_attempts": 2}}}
    # Two workers: the one that runs a request hears of its cancel from another process.
    setup = replace(setup, workers=2)
    directory = tmp_path_factory.mktemp("attempts")
    with open_door(directory, setup, ["echo", "hang", "slow-1500", "status-404"], more) as opened:
        yield opened


def test_a_cancelled_call_is_dropped_within_a_second(door: Door) -> None:
    """From the cancel's answer to the backend's own notice of the closed connection."""
    took = []
    for _ in range(5):
        request_id = door.submit("hang")
        _until(lambda: bool(door.calls_of(request_id)))  # noqa: B023  because it is called here
        told = door.ask("POST", f"/v1/requests/{request_id}/cancel")
        answered_at = time.time()
        assert (told.status, told.json["status"]) == (200, "cancelled")
        _until(lambda: door.calls_of(request_id)[0]["aborted"])  # noqa: B023  because see above
        took.append(door.calls_of(request_id)[0]["end"] - answered_at)
    print(f"dropped after the cancel's answer, in s: {[round(each, 3) for each in took]}")
    assert max(took) < CANCELLED_WITHIN_S
    door.assert_at_rest()


def test_a_held_call_that_is_cancelled_by_its_id_is_dropped_and_told(door: Door) -> None:
    request_id = door.submit("hang", on_disconnect="finish")
    _until(lambda: bool(door.calls_of(request_id)))
    door.ask("POST", f"/v1/requests/{request_id}/cancel")
    seen = door.ended(request_id)
    assert (seen["status"], seen["error"]["code"]) == ("cancelled", "cancelled")
    _until(lambda: door.calls_of(request_id)[0]["aborted"])


def test_a_call_whose_client_wants_it_finished_outlives_the_connection(door: Door) -> None:
    headers = {"Content-Type": "application/json", "x-penstock-on-disconnect": "finish"}
    body = chat_body("slow-1500", "finisher")
    with pytest.raises(TimeoutError):
        door.ask("POST", "/v1/chat/completions", body, headers, timeout_s=0.5)
    _until(lambda: [call["end"] for call in _calls_of_tag(door, "finisher")] not in ([], [None]))
    (call,) = _calls_of_tag(door, "finisher")
    assert (call["aborted"], call["status"]) == (False, 200)


def test_every_attempt_is_told_by_backend_and_never_by_address(door: Door) -> None:
    request_id = door.submit("twice")
    seen = door.ended(request_id)
    calls = door.calls_of(request_id)
    assert len(calls) == 2
    for number, (attempt, call) in enumerate(zip(seen["history"], calls, strict=True), 1):
        told = {name: attempt[name] for name in ("attempt", "backend", "outcome", "status_code")}
        expected = {"attempt": number, "backend": FAKE, "outcome": "error", "status_code": 502}
        assert told == expected
        assert attempt["message"] == "the backend answered 502"
        assert attempt["started_at"] <= call["start"] + 0.01
        assert attempt["ended_at"] >= call["end"] - 0.01
    assert "127.0.0.1" not in json.dumps(seen)


def test_a_first_success_is_told_too_and_a_waiting_request_has_no_history(door: Door) -> None:
    request_id = door.submit("echo")
    (only,) = door.ended(request_id)["history"]
    assert (only["attempt"], only["outcome"], only["status_code"]) == (1, "ok", 200)
    assert only["message"] is None
    (refused,) = door.ended(door.submit("status-404"))["history"]
    assert (refused["outcome"], refused["status_code"]) == ("refused", 404)
    later = {"body": chat_body("echo"), "not_before": time.time() + 3_000}
    waiting = door.ask("POST", "/v1/requests", later).json
    assert waiting["history"] == []
    assert door.ask("POST", f"/v1/requests/{waiting['id']}/cancel").json["history"] == []


def test_a_list_tells_no_history(door: Door) -> None:
    door.ended(door.submit("echo"))
    for item in door.ask("GET", "/v1/requests?limit=5").json["data"]:
        assert "history" not in item


def test_a_retry_that_could_only_start_after_the_deadline_is_not_waited_for(door: Door) -> None:
    began = time.monotonic()
    request_id = door.submit("twice", timeout_s=1.0)
    seen = door.ended(request_id)
    assert time.monotonic() - began < 0.9
    assert (seen["status"], seen["error"]["code"]) == ("failed", "attempts_exhausted")
    assert len(door.calls_of(request_id)) == 1


def _calls_of_tag(door: Door, tag: str) -> list[Any]:
    return [call for call in door.ledger()["calls"] if call["tag"] == tag]


def _until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    until = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until, "it did not come true in time"
        time.sleep(0.01)
