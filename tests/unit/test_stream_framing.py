"""How a stream is worded: comments, our errors, and the backend's own error on one line."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from api.streams.chat import ChatFraming
from api.streams.framing import Broken, State, framed, going_away, how_it_stands
from api.streams.native import NativeFraming
from broker.ports import Chunk
from broker.scheduling.outlook import Outlook
from schemas.lifecycle import Status
from schemas.record import born
from schemas.result import Result
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result

QUEUED = born(make_envelope(stream=True))


@pytest.mark.parametrize(
    ("outlook", "told"),
    [
        (Outlook(), b": queued\n\n"),
        (Outlook(3, 11.6), b": queued, position 3, about 12 s\n\n"),
        (Outlook(1, None, "a worker"), b": queued, position 1, waits for a worker\n\n"),
        (Outlook(1, None, "a\nb\r\nc"), b": queued, position 1, waits for a b  c\n\n"),
    ],
)
def test_how_it_stands_is_one_comment(outlook: Outlook, told: bytes) -> None:
    assert how_it_stands(State(QUEUED, outlook, changed=True)) == told


def test_who_runs_waits_no_more() -> None:
    running = replace(QUEUED, status=Status.IN_PROGRESS)
    assert how_it_stands(State(running, Outlook(), changed=True)) == b": running\n\n"


def test_a_chunk_keeps_the_lines_that_the_backend_sent() -> None:
    chunk = Chunk(7, 1, b"event: x\ndata: {}\ndata: more")
    for framing in (ChatFraming(), NativeFraming()):
        told = framed(framing, chunk, QUEUED, 7)
        assert told == b"id: 7\nevent: x\ndata: {}\ndata: more\n\n"


def _ended(result: Result) -> dict[str, str]:
    told = ChatFraming().ended(replace(QUEUED, status=result.status, result=result), 3)
    assert told.startswith(b"data: ")
    assert told.endswith(b"\n\n")
    assert told.count(b"\n") == 2
    error: dict[str, str] = orjson.loads(told[6:])["error"]
    return error


def test_the_backends_own_error_is_told_on_one_line() -> None:
    body = b'{\n  "error": {"message": "too long", "code": "context_length_exceeded"}\n}'
    error = _ended(make_result(Status.FAILED, status_code=400, body=body))
    assert error == {"message": "too long", "code": "context_length_exceeded"}


@pytest.mark.parametrize("body", [None, b"no json", b"[]", b'{"detail": "no"}'])
def test_a_backends_failure_in_another_shape_is_told_in_ours(body: bytes | None) -> None:
    error = _ended(make_result(Status.FAILED, status_code=400, body=body, message="It is bad."))
    assert error["code"] == "backend_failed"
    assert error["message"] == f"It is bad. (request {QUEUED.id})"


def test_an_end_without_a_message_has_the_sentence_of_its_code() -> None:
    error = _ended(make_result(Status.CANCELLED, code="cancelled"))
    assert (error["code"], error["type"]) == ("cancelled", "server_error")
    assert error["message"].startswith("The request was cancelled.")


def test_a_whole_stream_needs_no_word_at_its_end() -> None:
    done = replace(QUEUED, status=Status.COMPLETED, result=make_result())
    assert ChatFraming().ended(done, 3) == b""


def test_what_breaks_off_is_an_error_in_both_framings() -> None:
    broken = Broken("stream_interrupted", "It broke off.")
    assert framed(ChatFraming(), broken, QUEUED, 3).startswith(b'data: {"error":')
    assert framed(NativeFraming(), broken, QUEUED, 3).startswith(b'event: error\ndata: {"error":')


def test_who_goes_away_says_where_to_go_on() -> None:
    assert going_away(-1) == b": the server goes away; go on from the start\n\n"
    assert going_away(41) == b": the server goes away; go on from 41\n\n"
