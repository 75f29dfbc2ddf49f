"""What the end of a request gives rise to, and to whom; made twice it is the same."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from schemas.lifecycle import Status
from schemas.record import Record, born
from schemas.result import Result
from schemas.webhook_events import MAX_EVENT_BODY_BYTES, events_of
from schemas.webhooks import RequestWebhook, read_webhook, secret_of, write_webhook
from tests.fakes.envelopes import make_envelope
from tests.fakes.posts import make_endpoint
from workers.webhooks.addressing import posts_of

ENDED_AT = 1_790_000_000.25
SECRET = secret_of(b"k" * 24)


def ended(status: Status, body: bytes | None = b"{}", **changes: Any) -> Record:
    """Return the record of a request that ended so."""
    webhook = changes.pop("webhook", None)
    endpoint = changes.pop("endpoint", "/v1/chat/completions")
    record = born(make_envelope(webhook=webhook, endpoint=endpoint))
    result = Result(status, ENDED_AT, status_code=200, body=body)
    return replace(record, status=status, finished_at=ENDED_AT, result=result)


def contents(record: Record) -> list[dict[str, Any]]:
    return [json.loads(event.content) for event in events_of(record)]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_every_end_is_one_event_with_the_request_object(status: str) -> None:
    record = ended(Status(status))
    (event,) = contents(record)
    assert (event["type"], event["object"]) == (f"request.{status}", "event")
    assert event["created_at"] == int(ENDED_AT)
    assert (event["data"]["id"], event["data"]["status"]) == (record.id, status)
    assert event == contents(record)[0]


def test_a_large_answer_is_left_out_and_one_that_just_fits_is_not() -> None:
    fits = b'"' + b"a" * (MAX_EVENT_BODY_BYTES - 2) + b'"'
    (event,) = contents(ended(Status.COMPLETED, fits))
    assert len(event["data"]["response"]["body"]) == MAX_EVENT_BODY_BYTES - 2
    (event,) = contents(ended(Status.COMPLETED, fits + b" "))
    assert event["data"]["response"] == {"status_code": 200, "body": None}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (Status.COMPLETED, b'{"status": "completed"}', "response.completed"),
        (Status.COMPLETED, b'{"status": "incomplete"}', "response.incomplete"),
        (
            Status.COMPLETED,
            b"event: response.in_progress\ndata: {}\n\nevent: response.incomplete\ndata: {}\n\n",
            "response.incomplete",
        ),
        (Status.COMPLETED, b"event: response.completed\ndata: {}\n\n", "response.completed"),
        (Status.FAILED, None, "response.failed"),
        (Status.EXPIRED, None, "response.failed"),
        (Status.CANCELLED, None, "response.cancelled"),
    ],
)
def test_a_response_has_openais_event_beside_ours(
    status: Status, body: bytes | None, kind: str
) -> None:
    record = ended(status, body, endpoint="/v1/responses")
    ours, theirs = contents(record)
    assert ours["type"] == f"request.{status.value}"
    assert theirs["type"] == kind
    assert theirs["data"] == {"id": f"resp_{record.id.removeprefix('req_')}"}
    assert theirs["id"] != ours["id"]


def test_each_receiver_has_a_post_of_its_own_with_the_same_event() -> None:
    webhook = write_webhook(RequestWebhook(url="https://hooks.example/own", secret=SECRET))
    record = ended(Status.COMPLETED, webhook=webhook)
    wants = make_endpoint(created_at=ENDED_AT)
    other = make_endpoint(created_at=ENDED_AT, event_types=("request.failed",))
    late = make_endpoint(created_at=ENDED_AT + 0.001)
    posts = list(posts_of(record, [wants, other, late], [2.0, 5.0]))
    assert [(post.endpoint, post.url) for post in posts] == [
        (wants.id, wants.url),
        (None, "https://hooks.example/own"),
    ]
    assert len({post.id for post in posts}) == 2
    assert len({post.event for post in posts}) == 1
    assert {post.due_at for post in posts} == {ENDED_AT + 2}
    assert [post.secret for post in posts] == [None, SECRET]
    assert posts == list(posts_of(record, [wants, other], [2.0, 5.0]))


def test_a_request_is_told_only_what_it_asks_for() -> None:
    webhook = write_webhook(
        RequestWebhook(url="https://hooks.example/", event_types=["response.completed"])
    )
    record = ended(Status.COMPLETED, webhook=webhook, endpoint="/v1/responses")
    assert [post.event_type for post in posts_of(record, [], [0])] == ["response.completed"]
    plain = write_webhook(RequestWebhook(url="https://hooks.example/"))
    record = ended(Status.COMPLETED, webhook=plain, endpoint="/v1/responses")
    assert [post.event_type for post in posts_of(record, [], [0])] == ["request.completed"]


def test_what_an_envelope_holds_is_read_as_it_was_written() -> None:
    given = RequestWebhook(
        url="https://hooks.example/", secret=SECRET, event_types=["request.failed"]
    )
    assert read_webhook(write_webhook(given)) == given
