"""A process that runs one server for a whole test session and ends with the session's process.

Pytest's workers come and go, so none of them may own what all of them share.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisCluster, RedisServer
from tests.servers.s3 import S3Server


class Server(Protocol):
    """What a host needs of a server."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


Facts = dict[str, object]


def _rabbitmq(folder: Path) -> tuple[Server, Callable[[], Facts]]:
    node = RabbitMQNode(folder)
    return node, lambda: {"url": node.url, "version": node.version, "place": asdict(node.place)}


def _redis(folder: Path) -> tuple[Server, Callable[[], Facts]]:
    server = RedisServer(folder, appendfsync="everysec")
    return server, lambda: {"url": server.url, "version": server.version}


def _redis_cluster(folder: Path) -> tuple[Server, Callable[[], Facts]]:
    cluster = RedisCluster(folder)
    return cluster, lambda: {"url": cluster.url, "version": cluster.nodes[0].version}


def _s3(folder: Path) -> tuple[Server, Callable[[], Facts]]:
    server = S3Server(folder)
    return server, lambda: {"url": server.url, "version": server.version}


KINDS = {"rabbitmq": _rabbitmq, "redis": _redis, "redis_cluster": _redis_cluster, "s3": _s3}


def write_facts(path: Path, facts: Facts) -> None:
    """Write so that a reader sees all or nothing."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(facts))
    unfinished.rename(path)


def run(kind: str, folder: Path, owner: int) -> None:
    """Serve until SIGTERM or until `owner` has ended; what happened stands in `KIND.json`."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    facts_path = folder / f"{kind}.json"
    try:
        owner_ended = os.pidfd_open(owner)
        server, facts = KINDS[kind](folder / kind)
        server.start()
    except Exception:
        # The session raises this text in the test that asked for the server.
        write_facts(facts_path, {"error": traceback.format_exc()})
        raise
    try:
        write_facts(facts_path, {**facts(), "pid": os.getpid()})
        select.select([owner_ended], [], [])
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        server.stop()
    # Reached only when the owner was killed: nobody else is left to tidy up.
    shutil.rmtree(folder, ignore_errors=True)
