"""What the end of a batch gives rise to, and to whom; a quiet line's end to no endpoint."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.batches import Batch, BatchStatus, Counts
from schemas.lifecycle import Status
from schemas.record import born
from schemas.result import Result
from schemas.webhook_events import batch_event, sample
from schemas.webhooks import BATCH_EVENTS, EVENT_TYPES, RequestWebhook, secret_of, write_webhook
from tests.fakes.batches import make_batch, make_line
from tests.fakes.posts import make_endpoint
from workers.webhooks.addressing import posts_of, posts_of_batch

ENDED_AT = 1_790_000_000.25
SECRET = secret_of(b"k" * 24)
_ENDS = [BatchStatus(each.removeprefix("batch.")) for each in BATCH_EVENTS]


def ended(status: BatchStatus, **terms: Any) -> Batch:
    """Return a batch that has ended so."""
    batch = make_batch(created_at=ENDED_AT - 60, **terms)
    times = {**batch.times, status: ENDED_AT}
    return replace(
        batch, status=status, times=times, total=9, counts=Counts(5, 3, 1, 1), has_output=True
    )


@pytest.mark.parametrize("status", _ENDS)
def test_its_end_is_one_event_that_says_where_its_files_are(status: BatchStatus) -> None:
    batch = ended(status)
    event = batch_event(batch)
    assert event == batch_event(batch)
    content = json.loads(event.content)
    assert (content["type"], content["object"]) == (f"batch.{status}", "event")
    assert content["created_at"] == int(ENDED_AT)
    assert content["data"] == {
        "id": batch.id,
        "object": "batch",
        "status": status.value,
        "request_counts": {"total": 9, "completed": 5, "failed": 3},
        "output_file_id": batch.output_file_id,
        "error_file_id": None,
    }


def test_it_is_told_to_the_endpoints_that_ask_for_it_and_to_its_own_receiver() -> None:
    own = write_webhook(RequestWebhook(url="https://own.example/", secret=SECRET))
    batch = ended(BatchStatus.EXPIRED, webhook=own)
    before = {"created_at": ENDED_AT - 1}
    wants = make_endpoint(event_types=("batch.expired", "request.failed"), **before)
    others = [
        make_endpoint(event_types=("batch.completed", "request.expired"), **before),
        make_endpoint(event_types=("batch.expired",), created_at=ENDED_AT + 1),
    ]
    posts = list(posts_of_batch(batch, [wants, *others], [5.0]))
    assert posts == list(posts_of_batch(batch, [wants], [5.0]))
    assert [(post.endpoint, post.url, post.secret) for post in posts] == [
        (wants.id, wants.url, None),
        (None, "https://own.example/", SECRET),
    ]
    assert {post.event_type for post in posts} == {"batch.expired"}
    assert len({post.id for post in posts}) == 2
    assert {(post.request_id, post.tenant) for post in posts} == {(batch.id, "acme")}
    assert {(post.created_at, post.due_at) for post in posts} == {(ENDED_AT, ENDED_AT + 5)}


@pytest.mark.parametrize(("wanted", "told"), [("batch.failed", 1), ("batch.completed", 0)])
def test_its_own_receiver_may_ask_for_some_ends_only(wanted: Any, told: int) -> None:
    own = write_webhook(RequestWebhook(url="https://own.example/", event_types=[wanted]))
    batch = ended(BatchStatus.FAILED, webhook=own)
    assert len(list(posts_of_batch(batch, [], [0.0]))) == told


@pytest.mark.parametrize(("quiet", "told"), [(True, 0), (False, 1)])
def test_the_end_of_a_line_is_told_where_its_batch_says_so(*, quiet: bool, told: int) -> None:
    endpoint = make_endpoint(created_at=ENDED_AT - 1)
    line = born(make_line(make_batch(), 3, quiet=quiet))
    result = Result(Status.COMPLETED, ENDED_AT)
    record = replace(line, status=Status.COMPLETED, finished_at=ENDED_AT, result=result)
    assert len(list(posts_of(record, [endpoint], [0.0]))) == told


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_every_type_has_a_sample_for_a_receivers_test(event_type: str) -> None:
    content = json.loads(sample(event_type, "evt_1", ENDED_AT).content)
    kind = event_type.partition(".")[0]
    assert (content["type"], content["id"]) == (event_type, "evt_1")
    assert content["data"]["id"].endswith("_test")
    assert content["data"].get("object") == (None if kind == "response" else kind)
