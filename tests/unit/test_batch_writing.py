"""How lines end in the output and the error file: always one JSON object on one line."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.ports.batches import EndedLine
from schemas.batches import Batch, BatchStatus, BatchUsage, LineError
from schemas.ids import line_id
from schemas.lifecycle import Status
from schemas.record import Record, born
from schemas.result import Result, Usage
from tests.fakes.batch_lines import make_batch
from tests.fakes.envelopes import make_envelope
from workers.batches.writing import (
    error_line,
    mistake_line,
    output_line,
    unstarted_line,
    usage_of,
)

BATCH = make_batch()
ANTHROPIC = make_batch(dialect="anthropic", endpoint="/v1/messages")
NUMBERS = make_batch(error_codes="numbers")
REQUEST = line_id(BATCH.id, 7)
ID = f"batch_req_{REQUEST.removeprefix('req_')}"
PRETTY = b'{\r\n  "id": "x",\n  "choices": [\n    1,\n    "a \\n b"\n  ]\n}\n'


def ended(result: Result | None, custom_id: str = "a", **changes: Any) -> EndedLine:
    metadata = {"batch_id": BATCH.id, "custom_id": custom_id}
    envelope = make_envelope(id=REQUEST, batch=BATCH.id, line=7, metadata=metadata)
    status = result.status if result is not None else Status.FAILED
    return EndedLine(7, replace(born(envelope), status=status, result=result, **changes))


def completed(**changes: Any) -> EndedLine:
    return ended(Result(Status.COMPLETED, 1.0, status_code=200), **changes)


def failed(
    code: str = "backend_failed", status_code: int | None = None, message: str | None = None
) -> EndedLine:
    status = {"expired": Status.EXPIRED, "cancelled": Status.CANCELLED}.get(code, Status.FAILED)
    return ended(Result(status, 1.0, code, message, status_code))


def only(line: bytes) -> Any:
    """Return the one object of a line; nobody finds a second line in it."""
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert len(line.decode().splitlines()) == 1
    return json.loads(line)


bodies = (
    st.binary(max_size=60)
    | st.text(max_size=30).map(lambda text: json.dumps({"t": text}).encode())
    | st.text(st.characters(codec="utf-8"), max_size=30).map(
        lambda text: json.dumps({"t": text}, ensure_ascii=False, indent=2).encode()
    )
)


@given(bodies, st.text(st.characters(codec="utf-8"), max_size=30), st.sampled_from([200, 400, 500]))
@pytest.mark.parametrize(
    "batch", [BATCH, ANTHROPIC, NUMBERS], ids=["openai", "anthropic", "numbers"]
)
def test_every_line_stands_alone(batch: Batch, body: bytes, custom_id: str, status: int) -> None:
    done = completed(custom_id=custom_id)
    assert only(output_line(batch, done, body))["custom_id"] == custom_id
    result = Result(Status.FAILED, 1.0, "backend_failed", custom_id + "\ud800", status)
    assert only(error_line(batch, ended(result, custom_id), body))["custom_id"] == custom_id
    assert only(unstarted_line(batch, 7, custom_id, "batch_expired"))["custom_id"] == custom_id
    mistake = LineError("invalid_url", custom_id, 7, custom_id, custom_id)
    assert only(mistake_line(batch, mistake))["custom_id"] == custom_id


def test_a_completed_line_is_told_as_openai_does() -> None:
    assert only(output_line(BATCH, completed(), b'{"id": "x", "n": 12345678901234567890123}')) == {
        "id": ID,
        "custom_id": "a",
        "response": {
            "status_code": 200,
            "request_id": REQUEST,
            "body": {"id": "x", "n": 12345678901234567890123},
        },
        "error": None,
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(PRETTY, json.loads(PRETTY), id="an answer of many lines"),
        pytest.param(b"no json\nat all", "no json\nat all", id="no JSON"),
        pytest.param(b'{"a": NaN}', '{"a": NaN}', id="nearly JSON"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="no UTF-8"),
        pytest.param(b'{"a": "\\ud800"}', {"a": "\ud800"}, id="half a surrogate pair"),
        pytest.param(b'{"a": "\\ud800", "b": NaN}', '{"a": "\\ud800", "b": NaN}', id="both"),
        pytest.param('"a\u2028b\u2029c\x85d"'.encode(), "a\u2028b\u2029c\x85d", id="separators"),
        pytest.param(b'"\\u0000"', "\0", id="NUL"),
        pytest.param(b"[" * 600_000 + b"]" * 600_000, "[" * 600_000 + "]" * 600_000, id="a bomb"),
        pytest.param(b"", "", id="nothing"),
        pytest.param(None, None, id="none"),
    ],
)
def test_an_answer_is_kept_whatever_it_is(body: bytes | None, told: Any) -> None:
    assert only(output_line(BATCH, completed(), body))["response"]["body"] == told


def test_a_failed_line_with_an_answer_has_both() -> None:
    body = b'{"error": {"message": "No such thing."}}'
    told = only(error_line(BATCH, failed(status_code=404, message="Refused."), body))
    assert told["response"] == {
        "status_code": 404,
        "request_id": REQUEST,
        "body": {"error": {"message": "No such thing."}},
    }
    assert told["error"] == {"code": "backend_failed", "message": "Refused."}


@pytest.mark.parametrize(
    ("line", "code", "number"),
    [
        (failed("attempts_exhausted"), "attempts_exhausted", 500),
        (failed("attempts_exhausted", 503), "attempts_exhausted", 503),
        (failed("backend_invalid_response", 200), "backend_invalid_response", 500),
        (failed("expired"), "batch_expired", 504),
        (failed("cancelled"), "cancelled", 499),
        (ended(None), "copy_lost", 500),
    ],
)
def test_the_code_is_a_name_or_a_status(line: EndedLine, code: str, number: int) -> None:
    by_name, by_number = (only(error_line(each, line, b"{}")) for each in (BATCH, NUMBERS))
    assert by_name["error"]["code"] == code
    assert len(by_name["error"]["message"]) > 10
    assert by_number["error"]["code"] == number
    assert by_name["response"] == by_number["response"]
    assert (by_name["response"] is not None) is (number == 503)


def test_a_line_cancelled_with_its_batch_says_so() -> None:
    batch = replace(BATCH, status=BatchStatus.CANCELLING)
    assert only(error_line(batch, failed("cancelled"), None))["error"] == {
        "code": "batch_cancelled",
        "message": "The batch was cancelled before this request had ended.",
    }


def test_a_line_that_was_never_started_has_the_id_it_would_have_had() -> None:
    assert only(unstarted_line(BATCH, 7, "a", "batch_expired")) == {
        "id": ID,
        "custom_id": "a",
        "response": None,
        "error": {
            "code": "batch_expired",
            "message": "This request could not be executed before the completion window expired.",
        },
    }


def test_a_mistake_in_the_input_names_its_line() -> None:
    mistake = LineError("invalid_url", "It is wrong.", 3, "url", None)
    told = only(mistake_line(BATCH, mistake))
    assert (told["custom_id"], told["response"]) == (None, None)
    assert told["error"] == {
        "code": "invalid_url",
        "message": "It is wrong.",
        "line": 3,
        "param": "url",
    }
    assert only(mistake_line(NUMBERS, mistake))["error"]["code"] == 400


def record(usage: Usage | None) -> Record:
    return ended(Result(Status.COMPLETED, 1.0, status_code=200, usage=usage)).record


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 7}, BatchUsage(9, 9)),
        (
            {
                "prompt_tokens": 5,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
            BatchUsage(5, 7, 3, 2),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": None}, BatchUsage(5, 0)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 2},
            },
            BatchUsage(5, 7, 3, 2),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 7,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 20,
            },
            BatchUsage(125, 7, 100),
        ),
        (
            {"prompt_tokens": -5, "prompt_tokens_details": {"cached_tokens": "3"}},
            BatchUsage(0, 0),
        ),
    ],
)
def test_the_usage_is_read_in_every_dialect(usage: dict[str, Any], used: BatchUsage) -> None:
    body = json.dumps({"usage": usage}).encode()
    assert usage_of(record(Usage(9, 9, 18)), body) == used


def test_without_details_the_usage_is_what_was_charged() -> None:
    assert usage_of(record(Usage(3, 4, 7)), b"{}") == BatchUsage(3, 4)
    talk = b'{"content": "prompt_tokens_details"}'
    assert usage_of(record(Usage(3, 4, 7)), talk) == BatchUsage(3, 4)
    assert usage_of(record(None), None) == BatchUsage()
