"""SIGTERM: what runs is finished, what waits is kept, nothing is told twice."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.door import Door, open_door
from tests.e2e.uploads import begun, line
from tests.fakes.stack import Setup

SLOW = "slow-1000"


@pytest.fixture
def door(setup: Setup, tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path, setup, ["echo", SLOW]) as door:
        yield door


def worker_of(door: Door) -> str:
    return "serve" if "serve" in door.stack.processes else "worker-0"


def test_sigterm_finishes_what_runs_and_keeps_what_waits(door: Door) -> None:
    accepted = [door.submit(SLOW) for _ in range(20)]
    time.sleep(0.3)
    assert door.stack.terminate(worker_of(door)) == 0
    calls = [call for call in door.ledger()["calls"] if call["id"] in accepted]
    assert calls
    assert not any(call["aborted"] for call in calls)
    door.stack.restart(worker_of(door))
    door.stack.wait_ready()
    for request_id in accepted:
        seen = door.ended(request_id)
        assert (seen["status"], seen["attempts"]) == ("completed", 1)
    ids = [call["id"] for call in door.ledger()["calls"]]
    assert all(ids.count(request_id) == 1 for request_id in accepted)


def test_a_door_that_drains_answers_what_it_holds(door: Door) -> None:
    """A held call that runs is finished, here or by a worker elsewhere."""
    role = "serve" if "serve" in door.stack.processes else "api-0"
    told: list[int] = []
    caller = threading.Thread(target=lambda: told.append(door.chat(SLOW).status))
    caller.start()
    time.sleep(0.4)
    began = time.monotonic()
    assert door.stack.terminate(role) == 0
    assert time.monotonic() - began < 10
    caller.join(10)
    assert told == [200]
    door.stack.restart(role)
    door.stack.wait_ready()


def test_a_reader_that_waits_does_not_hold_up_the_end(door: Door) -> None:
    """SIGTERM answers `?wait=` with the object as it is."""
    role = "serve" if "serve" in door.stack.processes else "api-0"
    request_id = door.submit(SLOW, not_before=time.time() + 60)
    told: list[str] = []
    path = f"/v1/requests/{request_id}?wait=30"
    reader = threading.Thread(target=lambda: told.append(door.ask("GET", path).json["status"]))
    reader.start()
    time.sleep(0.4)
    began = time.monotonic()
    assert door.stack.terminate(role) == 0
    assert time.monotonic() - began < 4
    reader.join(10)
    assert told == ["queued"]
    door.stack.restart(role)
    door.stack.wait_ready()
    door.ask("POST", f"/v1/requests/{request_id}/cancel", {})


def test_an_upload_ends_with_what_is_under_way(door: Door) -> None:
    """SIGTERM: what was read is acknowledged, one line says why no more is, and nothing is lost."""
    role = "serve" if "serve" in door.stack.processes else "api-0"
    with begun(door) as upload:
        told = upload.answers()
        upload.send([line("drained")] * 3)
        accepted = [next(told) for _ in range(3)]
        ending = threading.Thread(target=lambda: door.stack.terminate(role))
        ending.start()
        last = list(told)
        ending.join(30)
    assert [each["error"]["code"] for each in last] == ["draining"]
    assert last[0]["line"] == 4
    door.stack.restart(role)
    door.stack.wait_ready()
    assert [door.ended(each["id"])["status"] for each in accepted] == ["completed"] * 3


def test_what_was_acknowledged_outlives_its_door(door: Door) -> None:
    """SIGKILL in the middle of an upload: nothing that was acknowledged is lost, or runs twice."""
    role = "serve" if "serve" in door.stack.processes else "api-0"
    accepted: list[str] = []
    with begun(door) as upload:
        told = upload.answers()
        for _ in range(20):
            upload.send([line("killed")] * 40)
            accepted += [next(told)["id"] for _ in range(20)]
        door.stack.kill(role)
        with suppress(OSError, ValueError):
            accepted += [each["id"] for each in told]
    door.stack.restart(role)
    door.stack.wait_ready()
    assert {door.ended(each, 60)["status"] for each in accepted} == {"completed"}
    # What was stored and not acknowledged yet is found and published by a look at all that is old.
    door.assert_at_rest(within_s=60)
    calls = Counter(call["id"] for call in door.ledger()["calls"] if not call["aborted"])
    assert {calls[each] for each in accepted} <= {1, 2}, "only what ran as it was killed runs again"
