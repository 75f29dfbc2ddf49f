"""GET /v1/requests: filters, cursors, and mistakes in the query; GET .../response."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup

MODELS = ["echo", "status-400", "slow-100"]


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("listing"), setup, MODELS) as opened:
        yield opened


@pytest.fixture(scope="module")
def made(door: Door) -> list[str]:
    """Twelve requests, oldest first: every third fails, every second is low."""
    ids = []
    for number in range(12):
        model = "status-400" if number % 3 == 0 else "echo"
        ids.append(door.submit(model, priority="low" if number % 2 else "high"))
        time.sleep(0.01)
    for request_id in ids:
        door.ended(request_id)
    return ids


def listed(door: Door, query: str) -> dict[str, Any]:
    told = door.ask("GET", f"/v1/requests?{query}")
    assert told.status == 200, told
    page: dict[str, Any] = told.json
    assert page["object"] == "list"
    return page


def test_newest_come_first_without_bodies(door: Door, made: list[str]) -> None:
    page = listed(door, "limit=12")
    assert [item["id"] for item in page["data"]] == made[::-1]
    assert (page["first_id"], page["last_id"]) == (made[-1], made[0])
    assert all(item["response"]["body"] is None for item in page["data"])
    assert {item["response"]["status_code"] for item in page["data"]} == {200, 400}


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_join_without_gap_or_overlap(door: Door, made: list[str], order: str) -> None:
    expected = made if order == "asc" else made[::-1]
    after = "" if order == "desc" else f"&created_after={_created(door, made[0]) - 0.001}"
    seen: list[str] = []
    query = f"limit=5&order={order}{after}"
    while len(seen) < 12:
        page = listed(door, query + (f"&after={seen[-1]}" if seen else ""))
        seen += [item["id"] for item in page["data"]]
        assert len(page["data"]) == 5 or not page["has_more"] or len(seen) >= 12
    assert seen[:12] == expected


def _created(door: Door, request_id: str) -> float:
    created: float = door.ended(request_id)["created_at"]
    return created


FILTERS: dict[str, Callable[[int], bool]] = {
    "status=failed": lambda n: n % 3 == 0,
    "status=completed": lambda n: n % 3 != 0,
    "status=failed,completed": lambda n: True,
    "model=status-400": lambda n: n % 3 == 0,
    "priority=low": lambda n: n % 2 == 1,
    "priority=high&status=failed": lambda n: n % 6 == 0,
    "status=queued": lambda n: False,
    "model=none-of-these": lambda n: False,
}


@pytest.mark.parametrize("query", FILTERS)
def test_filters_choose(door: Door, made: list[str], query: str) -> None:
    since = _created(door, made[0]) - 0.002
    page = listed(door, f"limit=100&created_after={since}&{query}")
    expected = [each for n, each in enumerate(made) if FILTERS[query](n)]
    assert [item["id"] for item in page["data"]] == expected[::-1]
    assert page["has_more"] is False


def test_a_span_of_time_chooses(door: Door, made: list[str]) -> None:
    after, before = _created(door, made[2]), _created(door, made[6])
    page = listed(door, f"created_after={after + 0.002}&created_before={before - 0.002}")
    assert [item["id"] for item in page["data"]] == made[3:6][::-1]


MISTAKES = {
    "limit=0": "limit",
    "limit=101": "limit",
    "limit=ten": "limit",
    "limit=": "limit",
    "limit=1e2": "limit",
    "after=req_x": "after",
    "after=req_00" + "f" * 32: "after",
    "order=up": "order",
    "status=done": "status",
    "status=": "status",
    "priority=HIGH": "priority",
    "created_after=today": "created_after",
    "created_before=nan": "created_before",
    "created_after=-1": "created_after",
    "stauts=failed": "stauts",
    "tenant=other": "tenant",
}


@pytest.mark.parametrize("query", MISTAKES)
def test_a_mistake_in_the_query_is_named(door: Door, query: str) -> None:
    told = door.ask("GET", f"/v1/requests?{query}")
    told.assert_refused("invalid_body")
    assert told.json["error"]["param"] == MISTAKES[query]


@pytest.mark.parametrize("query", ["%ff%fe", "a=1&" * 50, "limit=%00"])
def test_a_query_that_is_none_is_refused(door: Door, query: str) -> None:
    door.ask("GET", f"/v1/requests?{query}").assert_refused("invalid_body")


def test_the_backends_answer_can_be_had_alone(door: Door) -> None:
    done = door.submit("echo")
    body = door.ended(done)["response"]["body"]
    told = door.ask("GET", f"/v1/requests/{done}/response")
    assert (told.status, told.json) == (200, body)
    assert told.headers["x-request-id"] == done
    assert told.headers["x-penstock-backend"] == "fake"
    failed = door.submit("status-400")
    door.ended(failed)
    told = door.ask("GET", f"/v1/requests/{failed}/response")
    assert told.status == 400
    assert b'"big": 123456789012345678901234567890}' in told.body


def test_an_answer_that_is_not_there_yet_is_409(door: Door) -> None:
    waits = door.submit("echo", not_before=time.time() + 60)
    door.ask("GET", f"/v1/requests/{waits}/response").assert_refused("not_finished")
    door.ask("POST", f"/v1/requests/{waits}/cancel", {})
    told = door.ask("GET", f"/v1/requests/{waits}/response")
    told.assert_refused("request_cancelled")


@pytest.mark.parametrize("query", ["wait=soon", "wait=nan"])
def test_a_wait_must_be_seconds(door: Door, query: str) -> None:
    waits = door.submit("echo")
    told = door.ask("GET", f"/v1/requests/{waits}?{query}")
    told.assert_refused("invalid_body")
    assert told.json["error"]["param"] == "wait"
