"""What one Redis server says of itself, and whether it does what our scripts ask of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import RedisError, ResponseError

from broker.guarantee import APPENDFSYNC_UNKNOWN, RedisSettings
from broker.redis_store.health import Facts, eviction_policy, facts_of, keeps_a_log
from broker.redis_store.keys import Keys
from broker.redis_store.node import Node, pack
from broker.redis_store.scripts import script, source_of
from schemas.errors import StoreUnavailable

_ANSWER_S = 3.0
_PINGS = 5
_SECTIONS = ("server", "memory", "persistence", "replication", "cluster")
_KINDS = ("string", "hash", "set", "zset", "stream", "list")


@dataclass(frozen=True, slots=True)
class Reading:
    """All that was read from one server. `probe` and `hearing` are None when they went well."""

    facts: Facts
    appendfsync: str
    unreadable: str | None
    skew_s: float
    round_trip_s: float
    cluster_state: str | None
    probe: str | None
    hearing: str | None

    @property
    def settings(self) -> RedisSettings:
        """What of it decides the guarantee."""
        return RedisSettings(
            keeps_a_log(self.facts), self.appendfsync, eviction_policy(self.facts) != "noeviction"
        )


async def read(node: Node, keys: Keys, tag: str | None, clock: Callable[[], float]) -> Reading:
    """Return what `node` says; `tag` is one of our hash tags that it holds, if it holds any.

    Raises StoreUnavailable when it does not answer.
    """
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await _read(node, keys, tag, clock)
    except TimeoutError as error:
        raise StoreUnavailable(f"Redis at {node} did not answer within {_ANSWER_S:g} s") from error


async def _read(node: Node, keys: Keys, tag: str | None, clock: Callable[[], float]) -> Reading:
    answers = await node.run(
        [*(pack("INFO", name) for name in _SECTIONS), pack("CONFIG", "GET", "appendfsync")]
    )
    *sections, setting = answers
    refused = next((each for each in sections if isinstance(each, ResponseError)), None)
    if refused is not None:
        raise StoreUnavailable(f"Redis at {node} refuses INFO: {refused}")
    facts = facts_of(b"\r\n".join(sections))
    unreadable = str(setting) if isinstance(setting, ResponseError) else None
    appendfsync = APPENDFSYNC_UNKNOWN if unreadable or not setting else setting[1].decode()
    return Reading(
        facts,
        appendfsync,
        unreadable,
        await _skew_s(node, clock),
        await _round_trip_s(node),
        await _cluster_state(node) if facts.get("cluster_enabled") == "1" else None,
        None if tag is None else await _probe(node, tag, keys.wake + "doctor"),
        await _hearing(node, keys.wake + "doctor-" + secrets.token_hex(4)),
    )


async def _skew_s(node: Node, clock: Callable[[], float]) -> float:
    """Return how far Redis's clock is ahead of ours."""
    before = clock()
    (answer,) = await node.run([pack("TIME")])
    if isinstance(answer, ResponseError):
        raise StoreUnavailable(f"Redis at {node} refuses TIME: {answer}")
    seconds, micros = answer
    return int(seconds) + int(micros) / 1e6 - (before + clock()) / 2


async def _round_trip_s(node: Node) -> float:
    """Return the shortest of a few."""
    shortest = float("inf")
    for _ in range(_PINGS):
        began = time.perf_counter()
        await node.run([pack("PING")])
        shortest = min(shortest, time.perf_counter() - began)
    return shortest


async def _cluster_state(node: Node) -> str:
    (answer,) = await node.run([pack("CLUSTER INFO")])
    if isinstance(answer, ResponseError):
        return str(answer)
    return facts_of(answer).get("cluster_state", "unknown")


async def _probe(node: Node, tag: str, channel: str) -> str | None:
    """Run a script that writes what ours write; return what Redis has against it."""
    mark = secrets.token_hex(4)
    keys = ["{" + tag + "}:doctor:" + mark + ":" + kind for kind in _KINDS]
    _, sha, *rest = script("probe", keys, channel)
    (answer,) = await node.run([pack("EVAL", source_of(sha), *rest)])
    # What follows names the script by its hash.
    return str(answer).split(" script: ")[0] if isinstance(answer, ResponseError) else None


async def _hearing(node: Node, channel: str) -> str | None:
    """Subscribe, publish, hear it; return what went wrong."""
    connection = node.connection()
    try:
        await connection.connect()  # type: ignore[no-untyped-call]  # because redis-py leaves it untyped
        await connection.send_command("SUBSCRIBE", channel)
        await connection.read_response(timeout=1.0)
        (told,) = await node.run([pack("PUBLISH", channel, "probe")])
        if isinstance(told, ResponseError):
            return str(told)
        await connection.read_response(timeout=1.0)
    except (RedisError, OSError) as error:
        return str(error) or "a published message was not heard"
    finally:
        await connection.disconnect(nowait=True)
    return None
