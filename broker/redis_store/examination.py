"""The examination of a Redis or a Redis Cluster: every server that holds something of ours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgpack
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from broker.findings import Examined, Finding, Verdict
from broker.guarantee import RedisSettings
from broker.living import LivingProcess
from broker.redis_store.judgement import PART, judge
from broker.redis_store.keys import Keys
from broker.redis_store.node import Node, pack
from broker.redis_store.reading import Reading, read
from broker.redis_store.routes import Routes
from broker.redis_store.scripts import script, source_of
from schemas.errors import StoreUnavailable


@dataclass(frozen=True, slots=True)
class RedisReport:
    """`settings` are those of each server, none when it could not be read."""

    findings: list[Finding]
    settings: list[RedisSettings] = field(default_factory=list)
    living: list[LivingProcess] = field(default_factory=list)


async def examine(url: str, namespace: str, clock: Callable[[], float] = time.time) -> RedisReport:
    """Return what is found at `url`. Nothing that lasts is written; nothing is raised for it."""
    examined = Examined(PART)
    try:
        routes = Routes(url)
    except (ValueError, RedisError) as error:
        examined.fail("reachable", f"redis_url: {error}", "write redis://user:password@host:6379/0")
        return RedisReport(examined.findings)
    keys = Keys(namespace)
    try:
        await routes.find()
        readings = await asyncio.gather(
            *(read(node, keys, tag, clock) for node, tag in _tags(routes, keys).items())
        )
        living = await _living(routes, keys)
    except StoreUnavailable as error:
        examined.fail("reachable", *_why_not(error))
        return RedisReport(examined.findings)
    finally:
        await routes.close()
    by_node = dict(zip(map(str, routes.nodes), readings, strict=True))
    kind = f"a cluster of {len(by_node)} primaries" if routes.cluster else "one server"
    examined.ok("reachable", f"{kind}: {', '.join(by_node)}")
    settings = [reading.settings for reading in readings]
    return RedisReport([*examined.findings, *_of_all(by_node)], settings, living)


def _why_not(error: StoreUnavailable) -> tuple[str, str]:
    """Return what happened and what to do."""
    if isinstance(error.__cause__, AuthenticationError):
        return f"it refuses the user or password ({error.__cause__})", "correct redis_url"
    return str(error), "is it running, and are host, port and TLS (rediss://) of redis_url right?"


def _tags(routes: Routes, keys: Keys) -> dict[Node, str | None]:
    """Return each server with one of our hash tags that it holds, None where it holds none."""
    held: dict[Node, str | None] = dict.fromkeys(routes.nodes)
    for tag in (keys.limits, keys.members, *keys.partitions):
        if node := routes.node_of(tag):
            held[node] = tag
    return held


async def _living(routes: Routes, keys: Keys) -> list[LivingProcess]:
    node = routes.node_of(keys.members)
    if node is None:
        return []
    _, sha, *rest = script("served", keys.of_members())
    (says,) = await node.run([pack("EVAL", source_of(sha), *rest)])
    if isinstance(says, ResponseError):
        return []
    told = [msgpack.unpackb(each) for each in says if each is not None]
    return [
        LivingProcess(each["role"], frozenset(part["model"] for part in each["serves"]))
        for each in told
    ]


def _of_all(readings: Mapping[str, Reading]) -> list[Finding]:
    """Return the findings of every server: what is well once, all else for each server."""
    rows = zip(*(judge(reading) for reading in readings.values()), strict=True)
    if len(readings) == 1:
        return [row[0] for row in rows]
    merged: list[Finding] = []
    for row in rows:
        if all(each.verdict is Verdict.OK for each in row):
            first = row[0]
            text = first.text if len({each.text for each in row}) == 1 else _joined(row)
            merged.append(Finding(first.part, first.check, first.verdict, f"each: {text}"))
            continue
        merged += [
            Finding(each.part, each.check, each.verdict, f"{name}: {each.text}", each.advice)
            for name, each in zip(readings, row, strict=True)
            if each.verdict is not Verdict.OK
        ]
    return merged


def _joined(row: tuple[Finding, ...]) -> str:
    return "; ".join(dict.fromkeys(each.text for each in row))
