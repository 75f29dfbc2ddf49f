"""The ports: what `broker/amqp`, `broker/redis_store` and `broker/embedded` fill.

All methods may raise EngineError when the part below does not answer in time; unless a docstring
says otherwise the outcome is then unknown and the same call may be repeated.
"""

from __future__ import annotations

from broker.ports.dead_letters import DeadLetters, ForeignLetter
from broker.ports.engine import Engine
from broker.ports.limits import Limits, Reservation
from broker.ports.members import Members, Served
from broker.ports.messages import Consumer, DeadLetter, Delivery, Queue, QueueDepth
from broker.ports.store import Selection, Store
from broker.ports.switches import State, Switched, Switches
from broker.ports.upkeep import OutboxEntry, Upkeep

__all__ = [
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "Engine",
    "ForeignLetter",
    "Limits",
    "Members",
    "OutboxEntry",
    "Queue",
    "QueueDepth",
    "Reservation",
    "Selection",
    "Served",
    "State",
    "Store",
    "Switched",
    "Switches",
    "Upkeep",
]
