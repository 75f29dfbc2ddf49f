"""A batch in Anthropic's shape, and the pages of their list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from anthropic.types.messages import MessageBatch
from hypothesis import given
from hypothesis import strategies as st

from api.anthropic.paging import asked_page
from api.auth import Caller
from api.exchange import Exchange
from schemas.batches import BATCH_TERMINAL, Batch, BatchStatus, Counts
from schemas.errors import RequestError
from schemas.ids import batch_id_of, message_batch_id, new_batch_id
from schemas.message_batches import message_batch
from tests.fakes.batches import make_batch

URL = "https://penstock.example"
CREATED, CANCELLED, ENDED = 1_764_153_600.25, 1_764_153_601.5, 1_764_153_602.0
NOBODY = Counts()
counts = st.builds(Counts, *[st.integers(0, 9)] * 4)


def batch(status: BatchStatus, counted: Counts = NOBODY, total: int = 4) -> Batch:
    made = make_batch(created_at=CREATED, deadline=CREATED + 86_400, dialect="anthropic")
    times = {BatchStatus.VALIDATING: CREATED, BatchStatus.CANCELLING: CANCELLED, status: ENDED}
    return replace(made, status=status, times=times, counts=counted, total=total)


def test_a_running_one() -> None:
    running = replace(
        batch(BatchStatus.IN_PROGRESS, Counts(2, 1)), times={BatchStatus.VALIDATING: CREATED}
    )
    told = message_batch(running, URL)
    assert told == {
        "id": f"msgbatch_{running.id.removeprefix('batch_')}",
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": {
            "processing": 4,
            "succeeded": 0,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
        },
        "created_at": "2025-11-26T10:40:00.250000Z",
        "expires_at": "2025-11-27T10:40:00.250000Z",
        "ended_at": None,
        "cancel_initiated_at": None,
        "archived_at": None,
        "results_url": None,
    }
    MessageBatch.model_validate(told)


def test_a_cancelled_one() -> None:
    told = message_batch(batch(BatchStatus.CANCELLED, Counts(1, 3, 2, 0)), URL)
    assert told["processing_status"] == "ended"
    assert told["request_counts"] == {
        "processing": 0,
        "succeeded": 1,
        "errored": 1,
        "canceled": 2,
        "expired": 0,
    }
    assert told["cancel_initiated_at"] == "2025-11-26T10:40:01.500000Z"
    assert told["ended_at"] == "2025-11-26T10:40:02Z"
    assert told["results_url"] == f"{URL}/v1/messages/batches/{told['id']}/results"


@pytest.mark.parametrize("status", BatchStatus)
def test_every_status_has_one_of_anthropics(status: BatchStatus) -> None:
    told = message_batch(batch(status), URL)["processing_status"]
    if status in BATCH_TERMINAL:
        assert told == "ended"
    else:
        assert told == ("canceling" if status is BatchStatus.CANCELLING else "in_progress")


@given(st.sampled_from(BatchStatus), counts, st.integers(0, 9))
def test_the_counts_always_make_up_the_total(
    status: BatchStatus, counted: Counts, more: int
) -> None:
    failed = counted.cancelled + counted.expired + counted.failed
    whole = replace(counted, failed=failed)
    total = whole.completed + failed + more
    told = message_batch(batch(status, whole, total), URL)["request_counts"]
    assert sum(told.values()) == total
    if status not in BATCH_TERMINAL:
        assert told["processing"] == total


def test_names_lead_back_to_the_batch_and_nothing_else_does() -> None:
    batch_id = new_batch_id()
    assert batch_id_of(message_batch_id(batch_id)) == batch_id
    for text in (batch_id, f"msg{batch_id}x", "msgbatch_", "", f"msgbatch_{message_batch_id('')}"):
        assert batch_id_of(text) is None


def exchange(query: str) -> Exchange:
    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing is read")

    scope = {"type": "http", "headers": [], "query_string": query.encode()}
    return Exchange(scope, receive, Caller())


def page(query: str, found: list[Batch]) -> dict[str, Any]:
    told: dict[str, Any] = orjson.loads(asked_page(exchange(query)).reply(found, URL).body)
    return told


def test_a_page_after_one() -> None:
    made = [batch(BatchStatus.COMPLETED) for _ in range(3)]
    names = [message_batch_id(each.id) for each in made]
    told = page(f"limit=2&after_id={names[0]}&beta=true", made)
    assert [each["id"] for each in told["data"]] == names[:2]
    assert (told["first_id"], told["last_id"], told["has_more"]) == (names[0], names[1], True)


def test_a_page_before_one_is_newest_first_too() -> None:
    made = [batch(BatchStatus.COMPLETED) for _ in range(3)]
    names = [message_batch_id(each.id) for each in made]
    asked = asked_page(exchange(f"limit=2&before_id={names[0]}"))
    assert (asked.limit, asked.beyond, asked.newest_first) == (2, made[0].id, False)
    told = page(f"limit=2&before_id={names[0]}", made)
    assert [each["id"] for each in told["data"]] == names[1::-1]
    assert (told["first_id"], told["last_id"], told["has_more"]) == (names[1], names[0], True)


def test_an_empty_page() -> None:
    assert page("", []) == {"data": [], "first_id": None, "last_id": None, "has_more": False}


def test_a_cursor_of_nobody_is_refused() -> None:
    asked = asked_page(exchange(f"after_id={message_batch_id(new_batch_id())}"))
    with pytest.raises(RequestError) as refused:
        asked.reply(None, URL)
    assert refused.value.param == "after_id"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after_id=", "after_id"),
        ("before_id=batch_1", "before_id"),
        ("after_id=a&before_id=b", "before_id"),
    ],
)
def test_what_is_no_page_is_refused(query: str, param: str) -> None:
    with pytest.raises(RequestError) as refused:
        asked_page(exchange(query))
    assert (refused.value.code, refused.value.param) == ("invalid_body", param)


@pytest.mark.parametrize(
    ("scheme", "headers", "url"),
    [
        ("http", [(b"host", b"a:80")], "http://a:80"),
        ("https", [(b"host", b"a")], "https://a"),
        ("http", [(b"host", b"a"), (b"x-forwarded-proto", b"https")], "https://a"),
        ("https", [(b"host", b"a"), (b"x-forwarded-proto", b"http")], "https://a"),
        ("http", [(b"host", b"a"), (b"x-forwarded-proto", b"evil://b/")], "http://a"),
    ],
)
def test_links_lead_where_the_client_has_come_from(
    scheme: str, headers: list[tuple[bytes, bytes]], url: str
) -> None:
    scope = {"type": "http", "scheme": scheme, "headers": headers}
    assert Exchange(scope, exchange("")._receive, Caller()).origin == url
