"""What compose.yaml starts, as processes on loopback: the same files, commands, environments."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.fakes.deployment import ROOT, read_compose, read_env
from tests.fakes.process import Process
from tests.servers.ports import reserve
from tests.servers.provision import rabbitmq_program, redis_program
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.rabbitmq_place import RabbitMQPlace
from tests.servers.redis import RedisServer

_CHECK_S = 30


@dataclass(frozen=True)
class ComposedPlace(RabbitMQPlace):
    """A node with the files of deploy/ and the user of compose.yaml."""

    user: tuple[tuple[str, str], ...] = ()

    def lay(self, cookie: str) -> None:
        super().lay(cookie)
        shutil.copy(ROOT / "deploy" / "rabbitmq.conf", self.path / "rabbitmq.conf")
        shutil.copy(ROOT / "deploy" / "rabbitmq-advanced.config", self.path / "advanced.config")

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            **dict(self.user),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        }


class ComposedRabbitMQ(RabbitMQNode):
    """The `rabbitmq` of compose.yaml."""

    def __init__(self, folder: Path, service: Mapping[str, Any]) -> None:
        super().__init__(folder)
        bare = self.place
        ports = (bare.port, bare.distribution_port, bare.epmd_port)
        self.place = ComposedPlace(bare.folder, *ports, tuple(service["environment"].items()))


class ComposedRedis(RedisServer):
    """The `redis` of compose.yaml."""

    def __init__(self, folder: Path, service: Mapping[str, Any]) -> None:
        super().__init__(folder)
        _, _, *self._options = service["command"]
        self.url = f"redis://:{self._options[-1]}@127.0.0.1:{self.port}/0"

    def _settings(self) -> list[str]:
        here = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [str(ROOT / "deploy" / "redis.conf"), *self._options, *here]


class Composed:
    """An installation of `penstock init --engine rabbitmq` in `directory`, and its four parts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.secrets = read_env(directory / ".env")
        self.services: dict[str, Any] = read_compose(self.secrets)["services"]
        self.port = reserve()
        self.rabbitmq = ComposedRabbitMQ(directory / "rabbitmq", self.services["rabbitmq"])
        self.redis = ComposedRedis(directory / "redis", self.services["redis"])
        self.api = self._process("api")
        self.worker = self._process("worker")

    def start(self) -> None:
        """Start all; returns once RabbitMQ and Redis serve."""
        self.rabbitmq.start()
        self.redis.start()
        self.api.start()
        self.worker.start()

    def stop(self) -> None:
        """End what runs."""
        self.api.kill()
        self.worker.kill()
        self.redis.stop()
        self.rabbitmq.stop()

    def check(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a service's health check as it stands in compose.yaml."""
        _, program, *arguments = self.services[name]["healthcheck"]["test"]
        if name == "rabbitmq":
            return self.check_rabbitmq(self.rabbitmq.place)
        if name == "redis":
            return self.check_redis(self.secrets["REDIS_PASSWORD"])
        assert program == "python"
        return _run([sys.executable, *map(self._here, arguments)], dict(os.environ))

    def check_rabbitmq(self, place: RabbitMQPlace) -> subprocess.CompletedProcess[str]:
        """Run RabbitMQ's health check against a node that may be another."""
        _, program, *arguments = self.services["rabbitmq"]["healthcheck"]["test"]
        return _run([str(rabbitmq_program().folder / program), *arguments], place.environment())

    def check_redis(self, password: str) -> subprocess.CompletedProcess[str]:
        """Run Redis's health check with a password that may be another."""
        _, program, *arguments = self.services["redis"]["healthcheck"]["test"]
        command = str(redis_program().folder / program.replace("valkey", "redis"))
        (variable,) = self.services["redis"]["environment"]
        environment = {**os.environ, **redis_program().environment, variable: password}
        return _run([command, "-p", str(self.redis.port), *arguments], environment)

    def elsewhere(self) -> RabbitMQPlace:
        """A node that was never started."""
        return replace(self.rabbitmq.place, port=reserve())

    def _process(self, name: str) -> Process:
        service = self.services[name]
        arguments = [self._here(word) for word in service["command"]]
        env = {key: self._here(value) for key, value in service["environment"].items()}
        return Process(name, "cli.main", arguments, self.directory / f"{name}.log", env)

    def _here(self, text: str) -> str:
        """Turn what holds inside a container into what holds here."""
        for there, here in (
            ("/etc/penstock/", f"{self.directory}/"),
            ("/tmp/alive", f"{self.directory}/alive"),
            ("@rabbitmq:5672", f"@127.0.0.1:{self.rabbitmq.place.port}"),
            ("@redis:6379", f"@127.0.0.1:{self.redis.port}"),
            ("0.0.0.0:8080", f"127.0.0.1:{self.port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.port}"),
        ):
            text = text.replace(there, here)
        return text


def _run(command: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=env,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_CHECK_S,
        check=False,
    )
