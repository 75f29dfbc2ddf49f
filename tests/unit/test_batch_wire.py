"""The batch and the file object, and what a client may send to create a batch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batch_answers import BatchObject, FileObject
from schemas.batch_wire import CreateBatch, batch_object, file_object
from schemas.batches import (
    Batch,
    BatchStatus,
    BatchTerms,
    BatchUsage,
    Counts,
    Cursor,
    LineError,
)
from schemas.errors import RequestError
from schemas.files import StoredFile
from schemas.misfits import fitted

BATCH_ID = "batch_0" + "1" * 33
TERMS = BatchTerms(
    id=BATCH_ID,
    tenant="acme",
    endpoint="/v1/chat/completions",
    input_file_id="file-0" + "2" * 33,
    completion_window="24h",
    created_at=1_764_153_600.75,
    deadline=1_764_240_000.75,
    metadata={"job": "nightly"},
)
ASKED: dict[str, Any] = {
    "input_file_id": TERMS.input_file_id,
    "endpoint": TERMS.endpoint,
    "completion_window": "24h",
}


def refused(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as raised:
        fitted(CreateBatch, {**ASKED, **fields})
    assert raised.value.code == "invalid_body"
    return raised.value


def test_a_new_batch_has_every_field_of_openai_and_whole_seconds() -> None:
    told = batch_object(Batch(TERMS))
    assert told == {
        "id": BATCH_ID,
        "object": "batch",
        "endpoint": "/v1/chat/completions",
        "model": None,
        "errors": None,
        "input_file_id": TERMS.input_file_id,
        "completion_window": "24h",
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": 1_764_153_600,
        "in_progress_at": None,
        "expires_at": 1_764_240_000,
        "finalizing_at": None,
        "completed_at": None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": None,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "usage": {
            "input_tokens": 0,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 0,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 0,
        },
        "metadata": {"job": "nightly"},
        "penstock": {
            "order": "completion",
            "error_codes": "names",
            "paused": False,
            "running": 0,
            "lines_per_s": 0.0,
            "eta_s": None,
            "cancelled": 0,
            "expired": 0,
            "not_started": 0,
            "line_events": False,
            "retry_of": None,
        },
    }


def test_a_running_batch_tells_how_far_it_is_and_when_it_may_be_done() -> None:
    running = Batch(
        TERMS,
        BatchStatus.IN_PROGRESS,
        times={BatchStatus.IN_PROGRESS: 1_764_153_601.9},
        total=1_000,
        model="m",
        fed=Cursor(300, 9_000, 300),
        counts=Counts(completed=190, failed=10, cancelled=3, expired=2),
        usage=BatchUsage(100, 20, 30, 4),
        rate=40.0,
        has_output=True,
        has_errors=True,
    )
    told = batch_object(running)
    assert told["request_counts"] == {"total": 1_000, "completed": 190, "failed": 10}
    assert told["in_progress_at"] == 1_764_153_601
    assert told["output_file_id"] == running.output_file_id
    assert told["error_file_id"] == running.error_file_id
    assert told["usage"]["total_tokens"] == 120
    assert told["usage"]["input_tokens_details"] == {"cached_tokens": 30}
    assert told["usage"]["output_tokens_details"] == {"reasoning_tokens": 4}
    beyond = told["penstock"]
    assert (beyond["running"], beyond["not_started"]) == (100, 700)
    assert (beyond["lines_per_s"], beyond["eta_s"]) == (40.0, 20.0)
    assert (beyond["cancelled"], beyond["expired"]) == (3, 2)
    assert batch_object(replace(running, paused=True))["penstock"]["eta_s"] is None
    assert batch_object(replace(running, rate=0.0))["penstock"]["eta_s"] is None
    assert batch_object(replace(running, rate=1e-9))["penstock"]["eta_s"] is None


def test_a_cancelled_batch_runs_nothing_and_tells_what_never_started() -> None:
    cancelled = Batch(
        TERMS,
        BatchStatus.CANCELLED,
        times={BatchStatus.CANCELLING: 1.0, BatchStatus.CANCELLED: 2.0},
        total=1_000,
        fed=Cursor(300, 9_000, 300),
        counts=Counts(completed=190, failed=60, cancelled=60),
        rate=40.0,
    )
    told = batch_object(cancelled)
    assert (told["cancelling_at"], told["cancelled_at"]) == (1, 2)
    beyond = told["penstock"]
    assert (beyond["running"], beyond["lines_per_s"], beyond["eta_s"]) == (0, 0.0, None)
    assert beyond["not_started"] == 750


def test_mistakes_are_told_in_openais_list() -> None:
    wrong = LineError("duplicate_custom_id", "Lines 3 and 7 ...", 7, "custom_id", "a")
    told = batch_object(Batch(TERMS, BatchStatus.FAILED, errors=(wrong,)))
    assert told["errors"] == {
        "object": "list",
        "data": [
            {
                "code": "duplicate_custom_id",
                "line": 7,
                "message": "Lines 3 and 7 ...",
                "param": "custom_id",
            }
        ],
    }


@given(
    status=st.sampled_from(BatchStatus),
    total=st.integers(0, 100),
    fed=st.integers(0, 120),
    completed=st.integers(0, 120),
    failed=st.integers(0, 120),
    rate=st.floats(0, 1e6),
    paused=st.booleans(),
)
def test_every_batch_fits_its_documented_shape(
    status: BatchStatus,
    total: int,
    fed: int,
    completed: int,
    failed: int,
    rate: float,
    *,
    paused: bool,
) -> None:
    counts = Counts(completed, failed)
    batch = Batch(
        TERMS, status, {}, (), total, fed=Cursor(fed), counts=counts, rate=rate, paused=paused
    )
    told = batch_object(batch)
    assert BatchObject.model_validate(told).model_dump(mode="json") == told
    assert told["penstock"]["running"] >= 0
    assert told["penstock"]["not_started"] >= 0


def test_a_file_can_be_used_at_once() -> None:
    told = file_object(StoredFile("file-1", "acme", "batch", "in.jsonl", 12, 1.5, 9.5))
    assert told["status"] == "processed"
    assert (told["created_at"], told["expires_at"]) == (1, 9)
    assert FileObject.model_validate(told).model_dump(mode="json") == told


def test_what_openai_takes_is_taken() -> None:
    asked = fitted(
        CreateBatch,
        {
            **ASKED,
            "metadata": {str(n): "v" * 512 for n in range(16)},
            "output_expires_after": {"anchor": "created_at", "seconds": 3_600},
        },
    )
    assert asked.output_expires_after is not None
    assert fitted(CreateBatch, {**ASKED, "metadata": None}).metadata is None
    assert (asked.order, asked.error_codes, asked.include_cancelled) == ("completion", None, False)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"completion_window": "soon"}, "completion_window"),
        ({"completion_window": "8d"}, "completion_window"),
        ({"completion_window": 24}, "completion_window"),
        ({"input_file_id": None}, "input_file_id"),
        ({"endpoint": 5}, "endpoint"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"metadata": {"k": 1}}, "metadata.k"),
        ({"metadata": {"k": "a\x00b"}}, "metadata.k"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3_599}}, None),
        ({"output_expires_after": {"anchor": "last_active_at", "seconds": 3_600}}, None),
        ({"output_expires_after": {"seconds": 3_600}}, None),
        ({"order": "random"}, "order"),
        ({"error_codes": 7}, "error_codes"),
        ({"include_cancelled": "yes"}, "include_cancelled"),
        ({"webhook": {"url": 5}}, None),
        ({"priority": 9}, "priority"),
    ],
)
def test_what_does_not_fit_is_named(fields: dict[str, Any], param: str | None) -> None:
    told = refused(**fields)
    assert told.param is not None
    assert param is None or told.param == param
