"""The ports: what `broker/amqp`, `broker/redis_store` and `broker/embedded` fill.

All methods may raise EngineError when the part below does not answer in time; unless a docstring
says otherwise the outcome is then unknown and the same call may be repeated.
"""

from __future__ import annotations

from broker.ports.dead_letters import DeadLetters, ForeignLetter
from broker.ports.engine import Engine
from broker.ports.limits import (
    Answer,
    Cap,
    Granted,
    Limits,
    Rate,
    Reservation,
    Spent,
    StartAt,
    TooLate,
    Wait,
    Want,
)
from broker.ports.members import Members, Served
from broker.ports.messages import Consumer, DeadLetter, Delivery, Queue, QueueDepth
from broker.ports.store import Selection, Store
from broker.ports.switches import State, Switched, Switches
from broker.ports.upkeep import OutboxEntry, Upkeep

__all__ = [
    "Answer",
    "Cap",
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "Engine",
    "ForeignLetter",
    "Granted",
    "Limits",
    "Members",
    "OutboxEntry",
    "Queue",
    "QueueDepth",
    "Rate",
    "Reservation",
    "Selection",
    "Served",
    "Spent",
    "StartAt",
    "State",
    "Store",
    "Switched",
    "Switches",
    "TooLate",
    "Upkeep",
    "Wait",
    "Want",
]
