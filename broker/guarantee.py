"""What is promised under which settings (PROTOCOL 9), as a pure function of what was found.

The protocol's row for three nodes needs commits that wait for a replica, which the configuration
does not offer: a part that is replicated is promised what one node is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

APPENDFSYNC_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """What of a Redis's settings decides; `appendfsync` may be APPENDFSYNC_UNKNOWN."""

    aof: bool
    appendfsync: str
    evicts: bool


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A row: the settings, and what holds under them; `refused` when nothing does."""

    settings: str
    promised: str
    refused: bool = False


EMBEDDED = Guarantee("embedded, FULL", "everything, kill and power loss")
ALWAYS = Guarantee("one node, AOF always", "everything, kill and power loss")
EVERYSEC = Guarantee(
    "one node, AOF everysec",
    "kill of ours or of RabbitMQ: everything; kill of Redis during a slow fsync (up to 2 s of "
    "writes held back) or power loss: waiting requests survive, of the last seconds' finished ones "
    "some end `failed (copy_lost)` or unknown (404)",
)
REFUSED = Guarantee(
    "Redis without AOF, with an eviction policy, or with appendfsync no",
    "nothing: accepted requests can vanish",
    refused=True,
)


def promised(redis: Sequence[RedisSettings]) -> Guarantee:
    """Return the row for all servers of a Redis: the weakest decides. None of them: embedded.

    What could not be read is taken for the weaker setting.
    """
    if not redis:
        return EMBEDDED
    if any(each.evicts or not each.aof or each.appendfsync == "no" for each in redis):
        return REFUSED
    return ALWAYS if all(each.appendfsync == "always" for each in redis) else EVERYSEC
