"""How a request of a batch of messages has ended, in Anthropic's words."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from anthropic.types.messages import MessageBatchIndividualResponse
from hypothesis import given
from hypothesis import strategies as st

from broker.ports import EndedLine
from schemas.batches import Batch, BatchStatus, LineError
from schemas.ids import line_id
from schemas.lifecycle import Status
from schemas.record import Record, born
from schemas.result import Result
from tests.fakes.batches import make_batch, make_line
from workers.batches import message_results
from workers.batches.writing import error_line, mistake_line, output_line, unstarted_line

BATCH = make_batch(dialect="anthropic", endpoint="/v1/messages")
REQUEST = line_id(BATCH.id, 7)


def ended(result: Result, custom_id: str = "a") -> Record:
    envelope = make_line(BATCH, 7, metadata={"batch_id": BATCH.id, "custom_id": custom_id})
    return replace(born(envelope), status=result.status, result=result)


def failed(code: str = "backend_failed", status: int | None = None, message: str = "No.") -> Record:
    return ended(Result(Status.FAILED, 1.0, code, message, status))


def one(line: bytes, custom_id: str | None) -> dict[str, Any]:
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    told: dict[str, Any] = json.loads(line)
    assert told["custom_id"] == custom_id
    return told


def only(line: bytes, custom_id: str | None = "a") -> dict[str, Any]:
    """Return the result on a line, as its SDK expects it."""
    told = one(line, custom_id)
    if custom_id is not None and told["result"]["type"] != "succeeded":
        MessageBatchIndividualResponse.model_validate(told)
    result: dict[str, Any] = told["result"]
    return result


def test_an_answer_is_told_as_it_came_but_for_line_breaks() -> None:
    record = ended(Result(Status.COMPLETED, 1.0, status_code=200))
    body = b'{\n  "type": "message",\r\n "n": 12345678901234567890123, "text": "\xe2\x80\xa8"}\n'
    line = output_line(BATCH, EndedLine(7, record), body)
    assert only(line) == {"type": "succeeded", "message": json.loads(body)}
    assert b"12345678901234567890123" in line


@pytest.mark.parametrize(
    ("status", "code", "of_batch", "told"),
    [
        (Status.CANCELLED, "cancelled", BatchStatus.IN_PROGRESS, "canceled"),
        (Status.CANCELLED, "cancelled", BatchStatus.CANCELLING, "canceled"),
        (Status.EXPIRED, "expired", BatchStatus.IN_PROGRESS, "expired"),
    ],
)
def test_one_that_was_ended(status: Status, code: str, of_batch: BatchStatus, told: str) -> None:
    line = EndedLine(7, ended(Result(status, 1.0, code)))
    batch: Batch = replace(BATCH, status=of_batch)
    assert only(error_line(batch, line, None)) == {"type": told}


def test_one_that_never_began() -> None:
    assert only(unstarted_line(BATCH, 7, "a", "batch_cancelled")) == {"type": "canceled"}
    assert only(unstarted_line(BATCH, 7, "a", "batch_expired")) == {"type": "expired"}


def error_of(record: Record, body: bytes | None) -> dict[str, Any]:
    result = only(error_line(BATCH, EndedLine(7, record), body))
    assert result["type"] == "errored"
    error: dict[str, Any] = result["error"]
    return error


def test_an_error_in_anthropics_shape_passes() -> None:
    body = b'{"type":"error","error":{"type":"api_error","message":"y","n":1},"request_id":"r"}'
    assert error_of(failed(status=400), body) == json.loads(body)


@pytest.mark.parametrize(
    ("record", "body", "kind", "message"),
    [
        (
            failed(status=400),
            b'{"error":{"message":"Why."}}',
            "invalid_request_error",
            "Why. (No.)",
        ),
        (failed(status=422), b"<html>", "invalid_request_error", "No."),
        (failed(status=401), None, "authentication_error", "No."),
        (failed(status=429), b'{"error":"a text"}', "rate_limit_error", "No."),
        (failed(status=500), b'{"type":"error","error":"a text"}', "api_error", "No."),
        (failed(status=529), None, "overloaded_error", "No."),
        (failed("backend_timeout"), None, "timeout_error", "No."),
        (failed("backend_invalid_response", 200), b"<html>", "api_error", "No."),
        (failed("model_removed"), None, "not_found_error", "No."),
        (failed("poisoned"), None, "api_error", "No."),
    ],
)
def test_any_other_error_gets_anthropics_shape(
    record: Record, body: bytes | None, kind: str, message: str
) -> None:
    told = error_of(record, body)
    assert told["request_id"] == REQUEST
    assert told["error"]["type"] == kind
    assert told["error"]["message"] == message
    assert record.result is not None
    assert told["error"]["details"] == {"error_code": record.result.code, "param": None}


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_backend_without_the_path_is_told_as_such(status: int) -> None:
    body = b'{"error":{"message":"File Not Found"}}'
    record = failed(status=status, message=f"the backend answered {status}")
    assert error_of(record, body)["error"]["message"] == (
        f"File Not Found (the backend answered {status}); does this backend serve /v1/messages?"
    )


def test_a_mistake_has_the_type_of_its_code() -> None:
    mistake = LineError("model_not_found", "Not here.", 3, "body.model", "a")
    error = only(mistake_line(BATCH, mistake))["error"]["error"]
    assert (error["type"], error["message"]) == ("not_found_error", "Not here.")
    unknown = LineError("unreadable_file", "Is a zip archive.")
    error = only(mistake_line(BATCH, unknown), custom_id=None)["error"]["error"]
    assert error["type"] == "invalid_request_error"


@given(st.binary(max_size=40), st.text(max_size=8), st.sampled_from([None, 200, 400, 404, 500]))
def test_whatever_was_answered_it_is_one_line(
    body: bytes, custom_id: str, status: int | None
) -> None:
    record = ended(Result(Status.FAILED, 1.0, "backend_failed", "\ud800", status), custom_id)
    one(message_results.unsuccessful(record, "backend_failed", "\ud800", body), custom_id)
    one(message_results.succeeded(record, body), custom_id)
