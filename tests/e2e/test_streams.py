"""Streams over HTTP: numbered, resumed, read by many, ended in words where they break."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.door import Door
from tests.e2e.wire import ask
from tests.fakes.reading import Event, reading
from tests.fakes.stack import Setup, Stack, backend_process

CHAT = "/v1/chat/completions"
SLOW = "words-20-100"
_RETRIED = ("stream-dies-once-3",)
_ONCE = (
    "echo",
    "words-5-0",
    "words-40-50",
    SLOW,
    "stream-dies-3",
    "status-400",
    "slow-2000",
    "slow-6000",
    "stream-odd",
)


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    directory = tmp_path_factory.mktemp("streams")
    with backend_process(directory) as (url, _):
        fake = {"urls": [f"{url}/v1"], "concurrency": 16, "timeout_s": 30}
        models: dict[str, dict[str, Any]] = {
            **{
                name: {"targets": [{"backend": "fake"}], "retry": {"max_attempts": 1}}
                for name in _ONCE
            },
            **{name: {"targets": [{"backend": "fake"}]} for name in _RETRIED},
            "waits": {"targets": [{"backend": "one", "model": "words-5-300"}]},
        }
        backends = {"fake": fake, "one": {**fake, "concurrency": 1}}
        with Stack(directory, replace(setup, backends=backends, models=models)) as stack:
            yield Door(stack, url)
            assert not stack.died(), stack.logs()
            broken = [name for name, each in stack.processes.items() if each.tracebacks()]
            assert not broken, stack.logs()


def _body(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


def _called(door: Door, model: str, headers: dict[str, str] | None = None) -> list[Event]:
    """Make a held call and return all of its events."""
    with reading(door.stack.url, "POST", CHAT, _body(model, stream=True), headers) as reader:
        assert reader.status == 200
        return list(reader)


def _submit(door: Door, model: str, **fields: Any) -> str:
    told = door.ask("POST", "/v1/requests", {"body": _body(model), "stream": True, **fields})
    assert told.status == 202, told
    request_id: str = told.json["id"]
    return request_id


def _events(
    door: Door, request_id: str, query: str = "", headers: dict[str, str] | None = None
) -> list[Event]:
    path = f"/v1/requests/{request_id}/events{query}"
    with reading(door.stack.url, "GET", path, headers=headers) as reader:
        assert reader.status == 200
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        return list(reader)


def _content(events: list[Event]) -> list[Event]:
    return [event for event in events if event.number is not None]


def _names(events: list[Event]) -> list[str]:
    return [event.name for event in events if event.name is not None]


def test_a_held_stream_is_numbered_from_nought_and_ends_as_the_backends_did(door: Door) -> None:
    with reading(door.stack.url, "POST", CHAT, _body("words-5-0", stream=True)) as reader:
        assert reader.status == 200
        assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert reader.headers["cache-control"] == "no-store"
        assert reader.headers["x-accel-buffering"] == "no"
        request_id = reader.headers["x-request-id"]
        events = _content(list(reader))
    assert [event.number for event in events] == list(range(len(events)))
    assert "".join(event.text for event in events) == "w0 w1 w2 w3 w4 "
    assert events[-1].data == "[DONE]"
    whole = door.ask("GET", f"/v1/requests/{request_id}/response")
    assert whole.status == 200
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert whole.body == b"".join(f"data: {event.data}\n\n".encode() for event in events)
    assert door.ended(request_id)["usage"]["output_tokens"] == 5


def test_completions_stream_as_well(door: Door) -> None:
    body = {"model": "words-5-0", "prompt": "hello", "stream": True}
    with reading(door.stack.url, "POST", "/v1/completions", body) as reader:
        assert "".join(event.text for event in reader) == "w0 w1 w2 w3 w4 "


def test_a_stream_is_read_while_it_runs_by_many_and_again_after_its_end(door: Door) -> None:
    request_id = _submit(door, SLOW)
    with ThreadPoolExecutor(8) as threads:
        live = list(threads.map(lambda _: _events(door, request_id), range(8)))
    whole = _content(live[0])
    assert "".join(event.text for event in whole) == "".join(f"w{n} " for n in range(20))
    assert all(_content(each) == whole for each in live)
    assert _names(live[0])[-1] == "request.completed"
    assert _names(live[0])[-2:][0] == "request.in_progress"
    assert live[0][-1].json["status"] == "completed"
    again = _events(door, request_id)
    assert _content(again) == whole
    assert _names(again) == ["request.completed"]


def test_it_goes_on_behind_any_number_by_query_or_header(door: Door) -> None:
    request_id = _submit(door, "words-5-0")
    whole = _content(_events(door, request_id))
    for after in (0, 2, len(whole) - 1, len(whole) + 5):
        left = _content(_events(door, request_id, f"?starting_after={after}"))
        assert left == whole[after + 1 :]
        assert left == _content(_events(door, request_id, headers={"Last-Event-ID": str(after)}))


def test_a_reader_that_breaks_off_goes_on_live(door: Door) -> None:
    request_id = _submit(door, SLOW)
    read: list[Event] = []
    while not read or read[-1].data != "[DONE]":
        query = f"?starting_after={read[-1].number}" if read else ""
        with reading(door.stack.url, "GET", f"/v1/requests/{request_id}/events{query}") as reader:
            for event in reader:
                if event.number is not None:
                    read.append(event)
                    if event.number % 3 == 2:
                        break
    assert [event.number for event in read] == list(range(len(read)))
    assert "".join(event.text for event in read) == "".join(f"w{n} " for n in range(20))


def test_the_stream_of_a_request_without_one_tells_its_states(door: Door) -> None:
    request_id = door.submit("slow-2000")
    events = _events(door, request_id)
    assert _names(events)[-2:] == ["request.in_progress", "request.completed"]
    assert not _content(events)


def test_a_failure_before_anything_is_shown_is_answered_as_without_a_stream(door: Door) -> None:
    told = door.ask("POST", CHAT, _body("status-400", stream=True))
    plain = door.ask("POST", CHAT, _body("status-400"))
    assert told.status == plain.status == 400
    assert told.headers["content-type"] == plain.headers["content-type"]
    assert told.json.keys() == plain.json.keys()


def test_the_head_is_sent_after_three_seconds_of_silence(door: Door) -> None:
    with reading(door.stack.url, "POST", CHAT, _body("slow-6000", stream=True)) as reader:
        assert reader.status == 200
        events = list(reader)
    assert events[0].comment == "running"
    assert _content(events)[-1].data == "[DONE]"


def test_who_waits_is_told_its_position(door: Door) -> None:
    first = [_submit(door, "waits") for _ in range(4)]
    events = _called(door, "waits")
    comments = [event.comment for event in events if event.comment is not None]
    assert any(each.startswith("queued, position ") for each in comments), comments
    assert _content(events)[-1].data == "[DONE]"
    for request_id in first:
        door.ended(request_id)


@pytest.mark.parametrize("model", ["stream-dies-3", "stream-dies-once-3"])
def test_what_breaks_after_a_part_was_shown_ends_in_an_error(door: Door, model: str) -> None:
    events = _called(door, model)
    error = events[-1].json["error"]
    assert error["code"] == "stream_interrupted"
    assert error.keys() == {"message", "type", "param", "code"}
    content = _content(events)
    assert "".join(event.text for event in content) == "w0 w1 w2 "
    assert "[DONE]" not in [event.data for event in events]


def test_with_restart_it_begins_anew_and_says_so(door: Door) -> None:
    events = _content(_called(door, "stream-dies-once-3", {"x-penstock-restart": "true"}))
    assert [event.number for event in events] == list(range(len(events)))
    [marker] = [place for place, event in enumerate(events) if event.name is not None]
    assert events[marker].name == "request.restarted"
    assert events[marker].json == {"attempt": 2, "choices": []}
    assert "".join(event.text for event in events[:marker]) == "w0 w1 w2 "
    assert "".join(event.text for event in events[marker:]) == "".join(f"w{n} " for n in range(20))
    assert events[-1].data == "[DONE]"


def test_a_cancel_ends_the_stream_in_an_error(door: Door) -> None:
    with reading(door.stack.url, "POST", CHAT, _body("words-40-50", stream=True)) as reader:
        events = iter(reader)
        next(events)
        door.ask("POST", f"/v1/requests/{reader.headers['x-request-id']}/cancel")
        last = list(events)[-1]
    assert last.json["error"]["code"] == "cancelled"


@pytest.mark.parametrize(("policy", "ends"), [("cancel", "cancelled"), ("finish", "completed")])
def test_a_client_that_hangs_up_cancels_or_lets_it_finish(
    door: Door, policy: str, ends: str
) -> None:
    headers = {"x-penstock-on-disconnect": policy}
    body = _body("words-40-50", stream=True)
    with reading(door.stack.url, "POST", CHAT, body, headers) as reader:
        next(iter(reader))
        request_id = reader.headers["x-request-id"]
    assert door.ended(request_id)["status"] == ends


def test_a_reader_that_hangs_up_harms_nothing(door: Door) -> None:
    request_id = _submit(door, SLOW)
    with reading(door.stack.url, "GET", f"/v1/requests/{request_id}/events") as reader:
        next(iter(reader))
    assert door.ended(request_id)["status"] == "completed"


def test_a_retry_of_the_call_is_told_the_same_stream(door: Door) -> None:
    headers = {"Idempotency-Key": f"again-{time.time()}"}
    first = _content(_called(door, "echo", headers))
    body = _body("echo", stream=True)
    with reading(door.stack.url, "POST", CHAT, body, headers) as reader:
        assert reader.headers["idempotent-replayed"] == "true"
        assert _content(list(reader)) == first


def test_what_a_backend_sends_oddly_is_told_evenly(door: Door) -> None:
    events = _content(_called(door, "stream-odd"))
    assert [event.number for event in events] == list(range(len(events)))
    assert events[-1].data == "[DONE]"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("?starting_after=x", {}),
        ("?starting_after=-1", {}),
        ("?starting_after=1.5", {}),
        (f"?starting_after={'9' * 30}", {}),
        ("?starting_after=1", {"Last-Event-ID": "2"}),
        ("", {"Last-Event-ID": "one"}),
    ],
)
def test_a_place_that_is_none_is_refused(door: Door, path: str, headers: dict[str, str]) -> None:
    request_id = _submit(door, "echo")
    told = door.ask("GET", f"/v1/requests/{request_id}/events{path}", headers=headers)
    assert told.status == 400
    assert told.json["error"]["code"] == "invalid_body"
    assert told.json["error"]["param"] == "starting_after"


def test_an_unknown_request_has_no_events(door: Door) -> None:
    told = door.ask("GET", f"/v1/requests/req_{'0' * 34}/events")
    assert (told.status, told.json["error"]["code"]) == (404, "request_not_found")


@pytest.mark.parametrize(
    ("body", "fields", "code"),
    [
        ({"stream": "true"}, {}, "invalid_body"),
        ({"stream": True}, {"stream": False}, "invalid_body"),
        ({"stream": False}, {"stream": True}, "invalid_body"),
        ({"stream": None}, {"stream": True}, "invalid_body"),
        ({"stream": True}, {"endpoint": "/v1/embeddings"}, "streaming_unsupported"),
        ({}, {"endpoint": "/v1/embeddings", "stream": True}, "streaming_unsupported"),
    ],
)
def test_a_submit_that_asks_for_a_stream_in_vain_is_refused(
    door: Door, body: dict[str, Any], fields: dict[str, Any], code: str
) -> None:
    told = door.ask("POST", "/v1/requests", {"body": _body("echo", **body), **fields})
    assert (told.status, told.json["error"]["code"]) == (400, code)


def test_a_backend_is_asked_for_a_stream_wherever_the_client_says_so(door: Door) -> None:
    for fields in ({"stream": True}, {"body": _body("echo", stream=True)}):
        told = door.ask("POST", "/v1/requests", {"body": _body("echo"), **fields})
        assert door.ended(told.json["id"])["status"] == "completed"
        kind = door.ask("GET", f"/v1/requests/{told.json['id']}/response").headers["content-type"]
        assert kind.startswith("text/event-stream")


def test_a_restart_header_that_is_neither_is_refused(door: Door) -> None:
    headers = {"Content-Type": "application/json", "x-penstock-restart": "yes"}
    told = ask(door.stack.url, "POST", CHAT, b'{"model": "echo", "stream": true}', headers)
    assert (told.status, told.json["error"]["code"]) == (400, "invalid_body")
