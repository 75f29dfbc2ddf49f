"""What is refused for what waits: `queue_full` for a model, `tenant_queue_full` for a tenant, and
`deadline_unreachable` for a request whose deadline would pass before its turn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.keys import hash_of, new_key
from tests.e2e.door import CONCURRENCY, Door, chat_body, open_door
from tests.e2e.wire import Told
from tests.fakes.stack import Setup

ACME, GLOBEX = new_key(), new_key()
CAP, TENANT_CAP = 40, 12
SLOW, SLOWER = "slow-2000", "slow-4000"
# What waits is counted once a second.
COUNTED_S = 2.5


@pytest.fixture(scope="module")
def door(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    tenants = {
        "acme": {
            "keys": [{"name": "k", "hash": hash_of(ACME)}],
            "models": ["*"],
            "max_queued": TENANT_CAP,
        },
        "globex": {"keys": [{"name": "k", "hash": hash_of(GLOBEX)}], "models": ["*"]},
    }
    whole = replace(setup, server={**setup.server, "max_queued": CAP}, more={"tenants": tenants})
    directory = tmp_path_factory.mktemp("caps")
    with open_door(directory, whole, ["echo", SLOW, SLOWER], key=GLOBEX) as opened:
        yield opened


def submit(door: Door, **fields: object) -> Told:
    return door.ask("POST", "/v1/requests", {"body": chat_body(SLOW), **fields})


def cancel_all(door: Door, told: list[Told]) -> None:
    for each in told:
        if each.status == 202:
            door.ask("POST", f"/v1/requests/{each.json['id']}/cancel", {})
    door.assert_at_rest()
    time.sleep(COUNTED_S)


def test_a_tenant_has_no_more_open_requests_than_its_cap(door: Door) -> None:
    acme = door.as_key(ACME)
    told = [submit(acme) for _ in range(TENANT_CAP + 3)]
    assert [each.status for each in told] == [202] * TENANT_CAP + [429] * 3
    told[-1].assert_refused("tenant_queue_full")
    assert submit(door).status == 202, "another tenant has its own"
    cancel_all(acme, told)
    after = submit(acme)
    assert after.status == 202, "what has ended makes room"
    cancel_all(acme, [after])


def test_a_replay_is_not_refused_by_a_cap(door: Door) -> None:
    acme = door.as_key(ACME)
    keyed = {"Content-Type": "application/json", "Idempotency-Key": "capped"}
    body = {"body": chat_body(SLOW)}
    first = acme.ask("POST", "/v1/requests", body, keyed)
    told = [submit(acme) for _ in range(TENANT_CAP)]
    told[-1].assert_refused("tenant_queue_full")
    again = acme.ask("POST", "/v1/requests", body, keyed)
    assert (again.status, again.json["id"]) == (202, first.json["id"])
    cancel_all(acme, [first, *told])


def test_a_model_has_no_more_waiting_requests_than_the_cap(door: Door) -> None:
    most = CAP + CONCURRENCY
    told = [submit(door, priority="low") for _ in range(2 * most)]
    accepted = [each for each in told if each.status == 202]
    refused = [each for each in told if each.status != 202]
    assert refused
    refused[-1].assert_refused("queue_full")
    # What runs does not count, and while this submits some calls end and others start.
    assert CAP <= len(accepted) <= CAP + 4 * CONCURRENCY
    found = [door.ask("GET", f"/v1/requests/{each.json['id']}").json for each in accepted]
    waiting = [each for each in found if each["status"] == "queued"]
    assert max(each["position"] for each in waiting) > 1
    assert all(each["waiting_for"] for each in waiting)
    assert door.chat("echo").status == 200, "another model has its own"
    cancel_all(door, told)


def test_a_deadline_that_would_pass_before_its_turn_is_refused_with_the_eta(door: Door) -> None:
    # Until a call has ended nobody can tell when another one could start.
    assert door.chat(SLOWER).status == 200
    waiting = [
        door.ask("POST", "/v1/requests", {"body": chat_body(SLOWER), "priority": "low"})
        for _ in range(CAP - 12)
    ]

    def in_a_second() -> Told:
        fields = {"body": chat_body(SLOWER), "priority": "low", "timeout_s": 1}
        return door.ask("POST", "/v1/requests", fields)

    # Nor before the workers have said so.
    until = time.monotonic() + 20
    while (told := in_a_second()).status == 202:
        assert time.monotonic() < until, told
        time.sleep(1)
    told.assert_refused("deadline_unreachable")
    assert "s; its deadline is in 1 s" in told.json["error"]["message"]
    assert 5 <= int(told.headers["retry-after"]) <= 60
    short = {
        "Content-Type": "application/json",
        "x-penstock-timeout-s": "1",
        "x-penstock-priority": "low",
    }
    door.chat(SLOWER, headers=short).assert_refused("deadline_unreachable")
    patient = door.ask("POST", "/v1/requests", {"body": chat_body(SLOWER), "priority": "low"})
    assert patient.status == 202, patient
    cancel_all(door, [*waiting, patient])
