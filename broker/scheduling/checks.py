"""When the keeper next looks at an open record: the score of the `open` set (PROTOCOL 6).

The store writes it with every transition; after that the keeper itself says when to look again.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.scheduling.keeping import HELD_UNSTARTED_S, LOOK_AGAIN_S, UNPUBLISHED_AFTER_S

HELD_AFTER_S = 15.0


@dataclass(frozen=True, slots=True)
class Open:
    """An open record as the rule sees it.

    `due` is its `not_before`, else its `accepted_at`. `copy_apart` tells whether its message lives
    in a part of its own that can lose it (RabbitMQ); the embedded row is its own message.
    """

    running: bool
    published: bool
    held: bool
    due: float
    deadline: float
    copy_apart: bool


def next_check(record: Open, now: float) -> float:
    """Return the instant of the next look, by the first line that fits:

    running                   now + 5 s, its owner may have died
    not published             now + 15 s, somebody has to publish it
    held by an api process    now + 15 s, that process may have died
    message lives elsewhere   due + 600 s, the message may be lost
    else                      the deadline

    A waiting record is looked at no later than its deadline.
    """
    if record.running:
        return now + LOOK_AGAIN_S
    if not record.published:
        return min(now + UNPUBLISHED_AFTER_S, record.deadline)
    if record.held:
        return min(now + HELD_AFTER_S, record.deadline)
    if record.copy_apart:
        return min(max(now, record.due) + HELD_UNSTARTED_S, record.deadline)
    return record.deadline
