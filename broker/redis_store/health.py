"""Whether a Redis answers, and whether its settings can lose what we promised (PROTOCOL 9)."""

from __future__ import annotations

import asyncio

from redis.exceptions import ResponseError

from broker.redis_store.node import Node, pack
from schemas.errors import StoreUnavailable

_ANSWER_S = 2.0

Facts = dict[str, str]


async def look_at(node: Node) -> list[str]:
    """Return warnings about `node`. Raises StoreUnavailable when it does not serve."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            answers = await node.run(
                [pack("PING"), pack("INFO", "memory"), pack("INFO", "persistence")]
            )
    except TimeoutError as error:
        raise StoreUnavailable(f"Redis at {node} does not answer") from error
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise StoreUnavailable(f"Redis at {node} refuses: {answer}")
    return _warnings(node, facts_of(answers[1] + answers[2]))


def facts_of(info: bytes) -> Facts:
    """Return the lines of an INFO answer by name."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def eviction_policy(facts: Facts) -> str:
    """Return what Redis does when its memory is full; `noeviction` keeps everything."""
    return facts.get("maxmemory_policy", "noeviction")


def keeps_a_log(facts: Facts) -> bool:
    """Tell whether Redis writes what it is told to an append-only file."""
    return facts.get("aof_enabled", "1") == "1"


def _warnings(node: Node, facts: Facts) -> list[str]:
    found = []
    policy = eviction_policy(facts)
    if policy != "noeviction":
        found.append(
            f"Redis at {node} may evict accepted requests: set maxmemory-policy noeviction "
            f"(it is {policy})."
        )
    if not keeps_a_log(facts):
        found.append(
            f"Redis at {node} keeps nothing over a restart: set appendonly yes, or results and "
            "states are lost with it."
        )
    return found
