"""Cancelling by a filter: only what fits, only one's own, and as many calls as it takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import Door, open_door
from tests.fakes.stack import Setup

ADMIN, ACME, GLOBEX = "an-admin-key-for-tests", new_key(), new_key()
OTHER = "slow-400"


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        name: {"keys": [{"name": "k", "hash": hash_of(key)}], "models": ["*"]}
        for name, key in (("acme", ACME), ("globex", GLOBEX))
    }
    whole = replace(setup, server={**setup.server, "admin_key": ADMIN}, more={"tenants": tenants})
    directory = tmp_path_factory.mktemp("bulk")
    with open_door(directory, whole, ["echo", OTHER, "slow-3000"], key=ACME) as opened:
        yield opened


def cancel(door: Door, path: str = "/v1/requests/cancel", **filters: Any) -> dict[str, Any]:
    told = door.ask("POST", path, filters)
    assert told.status == 200, told
    answer: dict[str, Any] = told.json
    return answer


def later(door: Door, count: int, model: str = "echo", **fields: Any) -> list[str]:
    """Submit requests that start in an hour at the earliest."""
    return [door.submit(model, not_before=time.time() + 3_600, **fields) for _ in range(count)]


def statuses(door: Door, ids: list[str]) -> set[str]:
    return {door.ask("GET", f"/v1/requests/{each}").json["status"] for each in ids}


def test_only_what_fits_every_filter_is_cancelled(door: Door) -> None:
    low = later(door, 4, priority="low")
    high = later(door, 2, priority="high")
    other = later(door, 2, OTHER, priority="low")
    told = cancel(door, model="echo", priority="low")
    assert told == {
        "object": "requests.cancelled",
        "cancelled": 4,
        "last_id": low[0],
        "has_more": False,
    }
    assert statuses(door, low) == {"cancelled"}
    assert statuses(door, high + other) == {"queued"}
    assert cancel(door, model="echo", priority="low")["cancelled"] == 0
    assert cancel(door, status="queued")["cancelled"] == 4
    assert statuses(door, high + other) == {"cancelled"}


def test_instants_choose_by_creation(door: Door) -> None:
    ids = []
    for _ in range(6):
        ids += later(door, 1)
        time.sleep(0.01)  # instants are told in milliseconds
    created = [door.ask("GET", f"/v1/requests/{each}").json["created_at"] for each in ids]
    between = {"created_after": created[1] + 0.005, "created_before": created[4] - 0.005}
    assert cancel(door, **between)["cancelled"] == 2
    assert statuses(door, ids[2:4]) == {"cancelled"}
    assert statuses(door, ids[:2] + ids[4:]) == {"queued"}
    assert cancel(door, created_before=time.time())["cancelled"] == 4


def test_what_runs_is_dropped(door: Door) -> None:
    running = door.submit("slow-3000")
    until = time.monotonic() + 20
    while statuses(door, [running]) != {"in_progress"}:
        assert time.monotonic() < until
        time.sleep(0.02)
    assert cancel(door, model="slow-3000", status="queued")["cancelled"] == 0
    assert cancel(door, model="slow-3000", status="in_progress")["cancelled"] == 1
    assert door.ended(running)["status"] == "cancelled"


def test_nobody_cancels_for_another_tenant(door: Door) -> None:
    globex = door.as_key(GLOBEX)
    theirs, own = later(globex, 3), later(door, 2)
    assert cancel(door, model="echo")["cancelled"] == 2
    assert statuses(globex, theirs) == {"queued"}
    for filters in ({"model": "echo", "tenant": "globex"}, {"tenant": "globex"}):
        door.ask("POST", "/v1/requests/cancel", filters).assert_refused("invalid_body")
    door.ask("POST", "/v1/requests/cancel", {"model": "echo", "after": theirs[0]}).assert_refused(
        "invalid_body"
    )
    door.ask("POST", "/admin/v1/requests/cancel", {"model": "echo"}).assert_refused("not_admin")
    assert statuses(globex, theirs) == {"queued"}
    assert statuses(door, own) == {"cancelled"}
    assert cancel(globex, model="echo")["cancelled"] == 3


def test_an_admin_cancels_for_one_tenant_or_for_all(door: Door) -> None:
    admin, globex, path = door.as_key(ADMIN), door.as_key(GLOBEX), "/admin/v1/requests/cancel"
    theirs, own = later(globex, 3), later(door, 2)
    assert cancel(admin, model="echo")["cancelled"] == 0, "of the admin's own tenant"
    assert cancel(admin, path, tenant="globex")["cancelled"] == 3
    assert statuses(globex, theirs) == {"cancelled"}
    assert statuses(door, own) == {"queued"}
    assert cancel(admin, path, model="echo")["cancelled"] == 2


def test_many_take_several_calls(door: Door) -> None:
    ids = later(door, 1_300)
    new: list[str] = []
    calls: list[dict[str, Any]] = []
    while not calls or calls[-1]["has_more"]:
        after = {"after": calls[-1]["last_id"]} if calls else {}
        calls.append(cancel(door, model="echo", **after))
        new += later(door, 1)
    assert [each["cancelled"] for each in calls] == [1_000, 300]
    assert statuses(door, ids[::100]) == {"cancelled"}
    assert statuses(door, new) == {"queued"}, "what came meanwhile was not meant"
    cancel(door, model="echo")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, None),
        ({"after": "req_" + "0" * 34}, None),
        ({"modle": "echo"}, "modle"),
        ({"status": "completed"}, "status"),
        ({"status": "queued,in_progress"}, "status"),
        ({"priority": 1}, "priority"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": -1}, "created_before"),
        ({"model": "echo", "after": "req_1"}, "after"),
        ({"model": None}, None),
    ],
)
def test_a_mistake_cancels_nothing(door: Door, body: dict[str, Any], param: str | None) -> None:
    (waiting,) = later(door, 1)
    told = door.ask("POST", "/v1/requests/cancel", body)
    told.assert_refused("invalid_body")
    assert told.json["error"]["param"] == param
    assert statuses(door, [waiting]) == {"queued"}
    door.ask("POST", f"/v1/requests/{waiting}/cancel", {})
