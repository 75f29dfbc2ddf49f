"""What the RabbitMQ adapter counts; telemetry reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Events since the process began."""

    connections_lost: int = 0
    subscriptions_lost: int = 0
    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    unconfirmed: int = 0
    delivered: int = 0
    redelivered: int = 0
    foreign: int = 0
    stale_settles: int = 0
    dead_letters: int = 0
