"""What is told of a stored request as a Response, at every instant of its life."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from openai.types.responses import Response

from api.responses.items import listed
from api.responses.stored import response_now
from schemas.lifecycle import Status
from schemas.record import born
from schemas.result import Result
from tests.fakes.envelopes import make_envelope

ASKED = {"model": "alias", "input": "hi", "tools": 5, "reasoning": "x", "metadata": {"a": "b"}}
RECORD = born(make_envelope(endpoint="/v1/responses"))


@pytest.mark.parametrize(
    ("status", "code", "status_code", "told", "error"),
    [
        (Status.QUEUED, None, None, "queued", None),
        (Status.IN_PROGRESS, None, None, "in_progress", None),
        (Status.CANCELLED, "cancelled", None, "cancelled", None),
        (Status.EXPIRED, "expired", None, "failed", "server_error"),
        (Status.FAILED, "backend_failed", 400, "failed", "invalid_prompt"),
        (Status.FAILED, "attempts_exhausted", 429, "failed", "rate_limit_exceeded"),
        (Status.FAILED, "stream_interrupted", None, "failed", "server_error"),
    ],
)
def test_every_status_is_one_of_openais(
    status: Status, code: str | None, status_code: int | None, told: str, error: str | None
) -> None:
    result = Result(status, 5.0, code, None, status_code) if code else None
    response = response_now(replace(RECORD, status=status, result=result), ASKED)
    Response.model_validate(response)
    assert (response["status"], response["model"]) == (told, "alias")
    assert (response["error"] or {}).get("code") == error
    assert response["id"] == f"resp_{RECORD.id[4:]}"


def test_the_backends_own_words_are_told() -> None:
    said = b'{"error": {"message": "too long"}}'
    result = Result(Status.FAILED, 5.0, "backend_failed", None, 400, "application/json", said)
    response = response_now(replace(RECORD, status=Status.FAILED, result=result), ASKED)
    assert response["error"] == {"code": "invalid_prompt", "message": "too long"}


def test_a_streams_response_is_that_of_its_last_event() -> None:
    whole = {"id": "resp_1", "status": "incomplete"}
    last = orjson.dumps({"type": "response.incomplete", "response": whole})
    body = b"event: a\ndata: {}\n\nevent: response.incomplete\ndata: " + last + b"\n\n"
    result = Result(Status.COMPLETED, 5.0, None, None, 200, "text/event-stream", body)
    assert response_now(replace(RECORD, status=Status.COMPLETED, result=result), ASKED) == whole


def test_items_are_listed_with_ids_that_stay() -> None:
    asked = {
        "input": [
            {"role": "assistant", "content": "hello"},
            {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": ""},
            {"type": ["odd"]},
        ]
    }
    first, second, third = listed(RECORD.id, asked)
    assert first["id"] == f"msg_{RECORD.id[4:]}_in0"
    assert first["content"] == [{"type": "output_text", "text": "hello", "annotations": []}]
    assert (second["id"], second["status"]) == ("fc_1", "completed")
    assert third["id"].startswith("item_")
