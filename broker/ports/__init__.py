"""The ports: what `broker/amqp`, `broker/redis_store` and `broker/embedded` fill.

All methods may raise EngineError when the part below does not answer in time; unless a docstring
says otherwise the outcome is then unknown and the same call may be repeated.
"""

from __future__ import annotations

from broker.ports.batches import Batches, EndedLine, Gathered, Held, Validated
from broker.ports.blobs import Blobs
from broker.ports.dead_letters import DeadLetters, ForeignLetter
from broker.ports.engine import Engine
from broker.ports.events import Chunk, Events, Follower
from broker.ports.files import Files, FileSelection
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
from broker.ports.replies import NoReplies, Replies, Reply
from broker.ports.store import Selection, Store
from broker.ports.submissions import Submission, Submissions, Verdicts
from broker.ports.switches import State, Switched, Switches
from broker.ports.upkeep import OutboxEntry, OutboxReader, Upkeep
from broker.ports.webhooks import (
    Endpoint,
    Post,
    PostAttempt,
    PostSelection,
    PostState,
    SigningSecret,
    Webhooks,
)

__all__ = [
    "Answer",
    "Batches",
    "Blobs",
    "Cap",
    "Chunk",
    "Consumer",
    "DeadLetter",
    "DeadLetters",
    "Delivery",
    "EndedLine",
    "Endpoint",
    "Engine",
    "Events",
    "FileSelection",
    "Files",
    "Follower",
    "ForeignLetter",
    "Gathered",
    "Granted",
    "Held",
    "Limits",
    "Members",
    "NoReplies",
    "OutboxEntry",
    "OutboxReader",
    "Post",
    "PostAttempt",
    "PostSelection",
    "PostState",
    "Queue",
    "QueueDepth",
    "Rate",
    "Replies",
    "Reply",
    "Reservation",
    "Selection",
    "Served",
    "SigningSecret",
    "Spent",
    "StartAt",
    "State",
    "Store",
    "Submission",
    "Submissions",
    "Switched",
    "Switches",
    "TooLate",
    "Upkeep",
    "Validated",
    "Verdicts",
    "Wait",
    "Want",
    "Webhooks",
]
