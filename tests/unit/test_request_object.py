"""What the request object tells of attempts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from schemas.attempts import Attempt
from schemas.lifecycle import Status
from schemas.record import Record, born
from schemas.request import RequestObject, RequestWhole, request_object, whole_request
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_result

FAILED = Attempt(1, "gpu-a", 10.00049, 11.5, "busy", 503, "the backend answered 503")


def record_of(**changes: Any) -> Record:
    return replace(born(make_envelope()), started_at=10.0, **changes)


def test_a_first_success_is_told_from_the_result() -> None:
    result = make_result(backend="gpu-a", finished_at=12.0)
    told = whole_request(record_of(status=Status.COMPLETED, attempt=1, result=result))
    assert told["history"] == [
        {
            "attempt": 1,
            "backend": "gpu-a",
            "started_at": 10.0,
            "ended_at": 12.0,
            "outcome": "ok",
            "status_code": 200,
            "message": None,
        }
    ]


def test_a_later_success_is_told_from_the_history_alone() -> None:
    second = Attempt(2, "gpu-a", 20.0, 21.0, "ok", 200)
    result = make_result(backend="gpu-a")
    record = record_of(status=Status.COMPLETED, attempt=2, result=result, history=(FAILED, second))
    history = whole_request(record)["history"]
    assert [(each["attempt"], each["outcome"]) for each in history] == [(1, "busy"), (2, "ok")]
    assert (history[0]["started_at"], history[0]["message"]) == (10.0, FAILED.message)


def test_one_that_failed_waits_or_is_forgotten_tells_only_what_is_known() -> None:
    failed = record_of(status=Status.FAILED, attempt=1, result=make_result(Status.FAILED))
    assert whole_request(failed)["history"] == []
    assert whole_request(record_of(status=Status.COMPLETED, attempt=1))["history"] == []
    assert len(whole_request(record_of(attempt=1, history=(FAILED,)))["history"]) == 1


def test_both_shapes_are_what_the_document_says() -> None:
    record = record_of(attempt=1, history=(FAILED,))
    assert set(request_object(record)) == set(RequestObject.model_fields)
    assert set(whole_request(record)) == set(RequestWhole.model_fields)
