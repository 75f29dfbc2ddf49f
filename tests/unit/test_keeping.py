"""The keeper's decision table, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.scheduling.keeping import HELD_UNSTARTED_S, Facts, Move, decide
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record

NOW = 1_000_000.0
WAITING = Record(
    id="req_00" + "0" * 32,
    tenant="default",
    model="m",
    endpoint="/v1/chat/completions",
    priority=Priority.NORMAL,
    status=Status.QUEUED,
    accepted_at=NOW - 20,
    deadline=NOW + 3_600,
    published=True,
)
RUNNING = replace(WAITING, status=Status.IN_PROGRESS, owner="a:1", attempt=1)
HELD = replace(WAITING, held_by="api:1")
WELL = Facts(owner_alive=True, holder_alive=True, queues_empty_for_s=0)
DEAD_OWNER = replace(WELL, owner_alive=False)
DEAD_HOLDER = replace(WELL, holder_alive=False)
OLD = replace(WAITING, accepted_at=NOW - HELD_UNSTARTED_S - 1)
EMPTY = replace(WELL, queues_empty_for_s=HELD_UNSTARTED_S)


@pytest.mark.parametrize(
    ("record", "facts", "move"),
    [
        (WAITING, WELL, Move.WAIT),
        (replace(WAITING, deadline=NOW), WELL, Move.EXPIRE),
        (replace(RUNNING, deadline=NOW), WELL, Move.WAIT),
        (replace(RUNNING, deadline=NOW), DEAD_OWNER, Move.EXPIRE),
        (RUNNING, WELL, Move.WAIT),
        (RUNNING, DEAD_OWNER, Move.RELEASE),
        (replace(WAITING, published=False), WELL, Move.PUBLISH),
        (replace(WAITING, published=False, accepted_at=NOW - 5), WELL, Move.WAIT),
        (HELD, WELL, Move.WAIT),
        (HELD, DEAD_HOLDER, Move.CANCEL),
        (replace(RUNNING, held_by="api:1"), DEAD_HOLDER, Move.CANCEL),
        (replace(HELD, on_disconnect="finish"), DEAD_HOLDER, Move.WAIT),
        (OLD, WELL, Move.WAIT),
        (OLD, EMPTY, Move.COPY_LOST),
        (WAITING, EMPTY, Move.WAIT),
        (replace(OLD, not_before=NOW + 60), EMPTY, Move.WAIT),
        (replace(RUNNING, accepted_at=NOW - 5_000), EMPTY, Move.WAIT),
    ],
)
def test_moves(record: Record, facts: Facts, move: Move) -> None:
    step = decide(record, facts, NOW)
    assert step.move is move
    assert step.look_again_at > NOW


def test_a_waiting_record_is_looked_at_no_later_than_its_deadline() -> None:
    assert decide(replace(WAITING, deadline=NOW + 7), WELL, NOW).look_again_at == NOW + 7
