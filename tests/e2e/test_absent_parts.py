"""RabbitMQ and Redis away at the start, and lost later: said in words, waited for, recovered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.wire import Told, ask
from tests.fakes.process import Process
from tests.fakes.stack import backend_process
from tests.servers.ports import reserve
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer

RECOVERY_S = 15.0
CHAT = json.dumps({"model": "echo", "messages": []}).encode()
JSON = {"Content-Type": "application/json"}


@dataclass
class Parts:
    """A door and a worker, and the servers they stand on, which nobody has started yet."""

    url: str
    api: Process
    worker: Process
    rabbitmq: RabbitMQNode
    redis: RedisServer

    def ready(self) -> Told:
        """Ask whether it can accept and serve."""
        return ask(self.url, "GET", "/ready", None, {}, 10)

    def chat(self) -> Told:
        """Make a held call."""
        return ask(self.url, "POST", "/v1/chat/completions", CHAT, JSON, 30)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    port = reserve()
    rabbitmq, redis = RabbitMQNode(tmp_path / "rabbitmq"), RedisServer(tmp_path / "redis")
    with backend_process(tmp_path) as (backend, _):
        config = tmp_path / "penstock.yaml"
        content = {
            "server": {"port": port, "amqp_url": rabbitmq.url, "redis_url": redis.url},
            "backends": {"fake": {"urls": [f"{backend}/v1"]}},
            "models": {"echo": {"targets": [{"backend": "fake"}]}},
        }
        config.write_text(json.dumps(content))
        api, worker = (
            Process(role, "cli.main", [role, "--config", str(config)], tmp_path / f"{role}.log")
            for role in ("api", "worker")
        )
        try:
            api.start()
            worker.start()
            yield Parts(f"http://127.0.0.1:{port}", api, worker, rabbitmq, redis)
        finally:
            api.kill()
            worker.kill()
            rabbitmq.stop()
            redis.stop()


def within(seconds: float, holds: Callable[[], Any], what: str) -> float:
    """Return how long it took until `holds()`; fail after `seconds`."""
    began = time.monotonic()
    while True:
        try:
            if holds():
                return time.monotonic() - began
        except OSError:
            pass
        assert time.monotonic() - began < seconds, what
        time.sleep(0.1)


@pytest.mark.realservers
@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_parts_that_are_away_are_waited_for(parts: Parts) -> None:
    within(15, lambda: parts.ready().status == 503, "/ready must answer without its parts")
    checks = parts.ready().json["checks"]
    assert checks["rabbitmq"] != "ok"
    assert checks["redis"] != "ok"
    refused = parts.chat()
    assert (refused.status, refused.json["error"]["code"]) == (503, "store_unavailable")
    assert refused.headers["retry-after"]

    parts.redis.start()
    within(10, lambda: parts.ready().json["checks"]["redis"] == "ok", "Redis came")
    refused = parts.chat()
    assert (refused.status, refused.json["error"]["code"]) == (503, "queue_unavailable")

    parts.rabbitmq.start()
    within(RECOVERY_S, lambda: parts.ready().status == 200, "all is there")
    assert parts.chat().status == 200

    parts.redis.kill()
    assert parts.chat().status == 503
    parts.redis.restart()
    print("after Redis:", within(RECOVERY_S, lambda: parts.chat().status == 200, "Redis is back"))

    parts.rabbitmq.kill()
    assert parts.chat().status == 503
    parts.rabbitmq.restart()
    print("after RabbitMQ:", within(RECOVERY_S, lambda: parts.chat().status == 200, "it is back"))
    assert parts.api.alive
    assert parts.worker.alive
    assert not parts.api.tracebacks()
    assert not parts.worker.tracebacks()
