"""Whatever a backend does, the client is told what happened, and the next request is served."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.door import FAKE, Door, open_door
from tests.fakes.answers import refusal
from tests.fakes.stack import Setup
from tests.servers.ports import reserve

TIMEOUT_S = 1.5

# What the fake does: the code of a held call, the code in the object, the backend's status if any.
FAULTS: dict[str, tuple[str, str, int | None]] = {
    "hang": ("backend_timeout", "backend_timeout", None),
    "hang-headers": ("backend_timeout", "backend_timeout", None),
    "drip": ("backend_timeout", "backend_timeout", None),
    "status-500": ("backend_failed", "attempts_exhausted", 500),
    "status-503": ("backend_failed", "attempts_exhausted", 503),
    "status-429": ("backend_failed", "attempts_exhausted", 429),
    "html": ("backend_invalid_response", "backend_invalid_response", None),
    "empty": ("backend_invalid_response", "backend_invalid_response", None),
    "half": ("backend_invalid_response", "backend_invalid_response", None),
    "big-50mb": ("backend_invalid_response", "backend_invalid_response", None),
    "gzip-bomb": ("backend_invalid_response", "backend_invalid_response", None),
    "nan": ("backend_invalid_response", "backend_invalid_response", None),
    "redirect": ("backend_invalid_response", "backend_invalid_response", None),
}
REFUSED = ("backend_failed", "attempts_exhausted", None)


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    closed = f"http://127.0.0.1:{reserve()}/v1"
    more = {
        "refuse": {"targets": [{"backend": "closed"}], "retry": {"max_attempts": 1}},
        "twice": {
            "targets": [{"backend": FAKE, "model": "status-502"}],
            "retry": {"max_attempts": 2},
        },
    }
    served = ["echo", "status-400", "status-404", *FAULTS]
    directory = tmp_path_factory.mktemp("bad-backends")
    setup = replace(setup, backends={"closed": {"urls": [closed], "concurrency": 2}})
    with open_door(directory, setup, served, more, timeout_s=TIMEOUT_S) as opened:
        yield opened


@pytest.mark.parametrize("model", [*FAULTS, "refuse"])
def test_a_fault_ends_as_its_code(door: Door, model: str) -> None:
    held_code, code, status_code = FAULTS.get(model, REFUSED)
    began = time.monotonic()
    request_id = door.submit(model)
    told = door.chat(model)
    told.assert_refused(held_code)
    assert told.headers["x-request-id"] in told.json["error"]["message"]
    seen = door.ended(request_id)
    assert time.monotonic() - began < 3 * TIMEOUT_S + 3
    assert (seen["status"], seen["error"]["code"], seen["attempts"]) == ("failed", code, 1)
    assert seen["error"]["message"]
    if status_code is None:
        assert seen["response"] is None
    else:
        assert seen["response"]["status_code"] == status_code
    door.assert_well()


def test_an_unknown_model_is_told_what_there_is_in_one_sentence(door: Door) -> None:
    told = door.chat("nobody").json["error"]["message"]
    assert told.startswith("The model 'nobody' is not served here. Served: big-50mb, drip, ")
    assert told.endswith(" and 13 more.")


@pytest.mark.parametrize("status", [400, 404])
def test_a_final_refusal_is_passed_on_byte_for_byte(door: Door, status: int) -> None:
    told = door.chat(f"status-{status}")
    assert (told.status, told.body) == (status, refusal(status))
    assert told.headers["content-type"] == "application/json"
    assert len(door.calls_of(told.headers["x-request-id"])) == 1

    request_id = door.submit(f"status-{status}")
    seen = door.ended(request_id)
    assert (seen["status"], seen["error"]["code"]) == ("failed", "backend_failed")
    assert seen["response"]["status_code"] == status
    assert refusal(status) in door.ask("GET", f"/v1/requests/{request_id}").body


def test_a_redirect_is_not_followed(door: Door) -> None:
    door.chat("redirect").assert_refused("backend_invalid_response")
    assert not [call for call in door.ledger()["calls"] if call["model"] == "redirected"]


def test_a_failed_attempt_comes_back_after_five_seconds(door: Door) -> None:
    request_id = door.submit("twice")
    seen = door.ended(request_id)
    assert (seen["error"]["code"], seen["attempts"]) == ("attempts_exhausted", 2)
    first, second = door.calls_of(request_id)
    assert 4.5 < second["start"] - first["end"] < 9


def test_hanging_calls_do_not_hold_up_other_models(door: Door) -> None:
    for _ in range(4):
        door.submit("hang")
    time.sleep(0.2)
    began = time.monotonic()
    door.assert_well()
    assert time.monotonic() - began < 1


def test_a_client_that_leaves_ends_its_call(door: Door) -> None:
    """The default policy: the call is dropped and its slot comes free at once."""
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(_leave, door) for _ in range(4)]:
            future.result()
    while not all(call["aborted"] for call in _calls_of_leavers(door)):
        time.sleep(0.05)
        assert time.monotonic() - began < TIMEOUT_S
    assert _calls_of_leavers(door)


def _calls_of_leavers(door: Door) -> list[Any]:
    return [call for call in door.ledger()["calls"] if call["tag"] == "leaver"]


def _leave(door: Door) -> None:
    body = {"model": "hang", "user": "leaver", "messages": []}
    with pytest.raises(TimeoutError):
        door.ask("POST", "/v1/chat/completions", body, timeout_s=0.4)
