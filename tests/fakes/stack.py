"""Penstock as real child processes: one embedded, or api and workers on RabbitMQ and Redis."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.fakes.process import Process
from tests.servers.ports import reserve
from tests.servers.rabbitmq import RabbitMQNode
from tests.servers.redis import RedisServer

Engine = Literal["embedded", "real"]
READY_S = 45.0


Server = RabbitMQNode | RedisServer


class NotReady(AssertionError):
    """A part did not become ready in time; the text ends with its log."""


@dataclass(frozen=True)
class Setup:
    """What to start. `backends`, `models` and what `more` holds are sections of penstock.yaml."""

    engine: Engine = "embedded"
    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, Any]] | Literal["auto"] = "auto"
    server: Mapping[str, Any] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    apis: int = 1
    workers: int = 2
    env: Mapping[str, str] = field(default_factory=dict)
    # A fault of tests.chaos.planted, for the processes that work on requests.
    fault: str | None = None
    # Servers that somebody else runs; without them a `real` stack starts its own, to be killed.
    amqp_url: str | None = None
    redis_url: str | None = None


class Stack:
    """A running Penstock in `directory`: `with Stack(directory, Setup(...)) as stack`.

    Roles: `serve`; or `api-0`…, `worker-0`…, and `rabbitmq`, `redis` where the stack runs them.
    """

    def __init__(self, directory: Path, setup: Setup) -> None:
        self.directory = directory
        self.setup = setup
        self.servers: dict[str, Server] = {}
        self.processes: dict[str, Process] = {}
        doors = 1 if setup.engine == "embedded" else setup.apis
        self.ports = [reserve() for _ in range(doors)]
        self._doors_of: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self._start_servers()
            self._make_processes()
            for process in self.processes.values():
                process.start()
            self.wait_ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def roles(self) -> list[str]:
        """Everything that can be killed."""
        return [*self.processes, *self.servers]

    @property
    def config_files(self) -> list[Path]:
        """The configuration file of each process; workers share one."""
        return [self.directory / f"{name}.yaml" for name in self._doors_of]

    def rewrite(
        self,
        backends: Mapping[str, Mapping[str, Any]],
        models: Mapping[str, Mapping[str, Any]] | Literal["auto"],
    ) -> None:
        """Replace these sections in every configuration file, as an editor does: by a rename."""
        self.setup = replace(self.setup, backends=backends, models=models)
        for name, port in self._doors_of.items():
            self._config(name, port)

    @property
    def urls(self) -> list[str]:
        """The base URL of each door, without a path."""
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        """The base URL of the first door."""
        return self.urls[0]

    def kill(self, role: str) -> None:
        """SIGKILL a role."""
        (self.processes.get(role) or self.servers[role]).kill()

    def restart(self, role: str) -> None:
        """Start a killed role again; does not wait until Penstock is ready."""
        if role in self.processes:
            self.processes[role].start()
        else:
            self.servers[role].restart()

    def terminate(self, role: str, timeout_s: float = 40) -> int | None:
        """SIGTERM one of our own processes and return its exit code."""
        return self.processes[role].terminate(timeout_s)

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Return once every door answers 200 on /ready. Raises NotReady."""
        until = time.monotonic() + timeout_s
        waiting = list(self.ports)
        while waiting:
            waiting = [port for port in waiting if not _ready(port)]
            dead = [process.name for process in self.processes.values() if not process.alive]
            if dead or (waiting and time.monotonic() > until):
                what = f"exited: {dead}" if dead else f"not ready after {timeout_s:.0f} s"
                raise NotReady(f"{what}\n{self.logs()}")
            time.sleep(0.05 if waiting else 0)

    def logs(self, last: int = 3_000) -> str:
        """Return the ends of all logs."""
        return "\n".join(
            f"=== {process.log}\n{process.text()[-last:]}" for process in self.processes.values()
        )

    def died(self) -> list[str]:
        """Return the roles that ended although nobody ended them."""
        return [
            process.name
            for process in self.processes.values()
            if not process.alive or process.unexpected_exits
        ]

    def close(self) -> None:
        """Stop everything that this stack started, doors first."""
        for process in self.processes.values():
            # A test is over here: what must happen on SIGTERM is tested where it is the subject.
            process.kill()
        for server in self.servers.values():
            with suppress(Exception):
                server.stop()

    def _start_servers(self) -> None:
        if self.setup.engine == "embedded" or self.setup.amqp_url is not None:
            return
        self.servers["rabbitmq"] = RabbitMQNode(self.directory / "rabbitmq")
        self.servers["redis"] = RedisServer(self.directory / "redis", appendfsync="always")
        for server in self.servers.values():
            server.start()

    def _make_processes(self) -> None:
        env = {**self._server_urls(), **self.setup.env}
        if self.setup.engine == "embedded":
            self._add("serve", "serve", self._config("serve", self.ports[0]), env)
            return
        for index, port in enumerate(self.ports):
            self._add(f"api-{index}", "api", self._config(f"api-{index}", port), env)
        config = self._config("worker", self.ports[0])
        for index in range(self.setup.workers):
            self._add(f"worker-{index}", "worker", config, env)

    def _server_urls(self) -> dict[str, str]:
        if self.setup.engine == "embedded":
            return {}
        amqp_url, redis_url = self.setup.amqp_url, self.setup.redis_url
        if amqp_url is None or redis_url is None:
            amqp_url, redis_url = self.servers["rabbitmq"].url, self.servers["redis"].url
        return {"PENSTOCK_AMQP_URL": amqp_url, "PENSTOCK_REDIS_URL": redis_url}

    def _add(self, name: str, command: str, config: Path, env: Mapping[str, str]) -> None:
        log = self.directory / f"{name}.log"
        module, arguments = "cli.main", [command, "--config", str(config)]
        if self.setup.fault is not None and command != "api":
            module, arguments = "tests.chaos.planted", [self.setup.fault, *arguments]
        self.processes[name] = Process(name, module, arguments, log, env)

    def _config(self, name: str, port: int) -> Path:
        """Write the configuration of one process; JSON is YAML too."""
        content = {
            "server": {
                "host": "127.0.0.1",
                "port": port,
                "data_dir": str(self.directory / "data"),
                **self.setup.server,
            },
            "backends": self.setup.backends,
            "models": self.setup.models,
            **self.setup.more,
        }
        self._doors_of[name] = port
        path = self.directory / f"{name}.yaml"
        written = path.with_suffix(".new")
        written.write_text(json.dumps(content, indent=2))
        return written.replace(path)


@contextmanager
def backend_process(directory: Path, models: str = "echo") -> Iterator[tuple[str, Process]]:
    """Run the fake backend as a child; yields its root URL (no /v1) and the process."""
    port = reserve()
    arguments = ["--port", str(port), "--ledger", str(directory / "ledger.jsonl")]
    process = Process(
        "backend",
        "tests.fakes.backend",
        [*arguments, "--models", models],
        directory / "backend.log",
    )
    process.start()
    try:
        until = time.monotonic() + 15
        while not _ready(port, "/v1/models"):
            if time.monotonic() > until or not process.alive:
                raise NotReady(process.text())
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.kill()


@contextmanager
def serving(directory: Path, setup: Setup, models: Sequence[str]) -> Iterator[Stack]:
    """Run Penstock before one fake backend that serves `models`; a request is tried once."""
    with backend_process(directory, models=",".join(models)) as (url, _):
        backends = {"fake": {"urls": [f"{url}/v1"], "concurrency": 8}}
        once = {"targets": [{"backend": "fake"}], "retry": {"max_attempts": 1}}
        served = dict.fromkeys(models, once)
        with Stack(directory, replace(setup, backends=backends, models=served)) as running:
            yield running


def _ready(port: int, path: str = "/ready") -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with suppress(OSError, http.client.HTTPException):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        finally:
            connection.close()
    return False
