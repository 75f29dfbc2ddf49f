"""What every system stands on: one RabbitMQ, one Redis with AOF, one fake backend, one client."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import orjson

from benchmarks.client import Job, Outcome
from tests.fakes.process import ROOT, Process
from tests.servers.ports import reserve
from tests.servers.probe import redis_command, wait_until
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer

Aof = Literal["everysec", "always"]
_START_S = 30.0


class Client:
    """The load client's process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.client"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid

    def run(self, job: Job) -> Outcome:
        """Do a job and return what came of it. Raises RuntimeError if the client ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(asdict(job)) + b"\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise RuntimeError("the load client ended; its own words stand above")
        return Outcome(**orjson.loads(line))

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class Servers:
    """All of it in `directory`: `with Servers(directory) as servers`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rabbitmq = RabbitMQNode(directory / "rabbitmq")
        self.redis = RedisServer(directory / "redis", appendfsync="everysec")
        port = reserve()
        self.backend_url = f"http://127.0.0.1:{port}/v1"
        log = directory / "backend.log"
        self.backend = Process("backend", "benchmarks.backend", ["--port", str(port)], log)
        self.client = Client()
        self._stops = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stops:
            stops.callback(self.client.stop)
            stops.callback(self.backend.kill)
            stops.callback(self.rabbitmq.stop)
            stops.callback(self.redis.stop)
            self.rabbitmq.start()
            self.redis.start()
            # A rewrite of the AOF in some rounds and not in others would be noise.
            redis_command(self.redis.url, "CONFIG SET auto-aof-rewrite-percentage 0")
            self.backend.start()
            self._stops = stops.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stops.close()

    def set_aof(self, aof: Aof) -> None:
        """Choose when Redis syncs its file."""
        answer = redis_command(self.redis.url, f"CONFIG SET appendfsync {aof}")
        assert "+OK" in answer, answer


def wait_ready(port: int, process: Process) -> None:
    """Return once `process` answers 200 on /ready."""
    url = f"http://127.0.0.1:{port}/ready"
    wait_until(lambda: _answers(url), _START_S, process.text)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  because it is http
            return bool(answer.status == 200)
    except OSError:
        return False
