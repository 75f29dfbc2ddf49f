"""The keeper's decision table: what to do with an open record that nobody has moved (PROTOCOL 6).

Pure: the keeper gathers the facts, this decides, the keeper acts by compare-and-set.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from schemas.lifecycle import Status
from schemas.record import Record

UNPUBLISHED_AFTER_S = 15.0
LOOK_AGAIN_S = 5.0
LOOK_AGAIN_WAITING_S = 600.0
# A third of RabbitMQ's default consumer timeout: the longest a window may hold a message unstarted.
HELD_UNSTARTED_S = 600.0
POISON_LIMIT = 3


class Move(Enum):
    """What the keeper does with a record."""

    WAIT = "wait"
    PUBLISH = "publish"
    EXPIRE = "expire"
    RELEASE = "release"
    CANCEL = "cancel"
    COPY_LOST = "copy_lost"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the keeper knows beside the record.

    `queues_empty_for_s`: for how long its class and every retry tier have shown no ready message
    at every check; 0 when one of them cannot be read.
    """

    owner_alive: bool
    holder_alive: bool
    queues_empty_for_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One decision: the move, and when to look again if the record stays open."""

    move: Move
    look_again_at: float


def decide(record: Record, facts: Facts, now: float) -> Step:
    """Return what to do with the open `record` now."""
    if now >= record.deadline and not _running_alive(record, facts):
        return Step(Move.EXPIRE, now + LOOK_AGAIN_S)
    if record.held_by and record.on_disconnect == "cancel" and not facts.holder_alive:
        return Step(Move.CANCEL, now + LOOK_AGAIN_S)
    if record.status is Status.IN_PROGRESS:
        move = Move.WAIT if facts.owner_alive else Move.RELEASE
        return Step(move, now + LOOK_AGAIN_S)
    if not record.published:
        ripe = now >= record.accepted_at + UNPUBLISHED_AFTER_S
        return Step(Move.PUBLISH if ripe else Move.WAIT, now + LOOK_AGAIN_S)
    if _copy_is_gone(record, facts, now):
        return Step(Move.COPY_LOST, now + LOOK_AGAIN_S)
    return Step(Move.WAIT, _next_look(record, now))


def _running_alive(record: Record, facts: Facts) -> bool:
    """A live worker ends its own request: its call is bounded by the deadline too."""
    return record.status is Status.IN_PROGRESS and facts.owner_alive


def _copy_is_gone(record: Record, facts: Facts, now: float) -> bool:
    due = record.not_before or record.accepted_at
    return now - due > HELD_UNSTARTED_S and facts.queues_empty_for_s >= HELD_UNSTARTED_S


def _next_look(record: Record, now: float) -> float:
    wait = LOOK_AGAIN_S if record.held_by else LOOK_AGAIN_WAITING_S
    return min(now + wait, record.deadline)
