"""The systems that are compared: Penstock on both engines, the reference and the floor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.servers import Servers, wait_ready
from tests.fakes.process import Process
from tests.fakes.stack import Setup, Stack
from tests.servers.ports import reserve

IN_FLIGHT = 64
REAL, EMBEDDED, REFERENCE, FLOOR = "rabbitmq + redis", "embedded", "reference", "floor"


@dataclass(frozen=True, slots=True)
class System:
    """One running system: where it listens, the process ids of its parts, and its logs' ends."""

    name: str
    port: int
    parts: dict[str, int]
    logs: Callable[[], str]


@contextmanager
def systems(servers: Servers, waits_ms: list[int]) -> Iterator[list[System]]:
    """Run all four, each with its own data, and yield them in the order of a round.

    Model `wait-N` of the backend answers after N ms; `waits_ms` are those that will be asked for.
    """
    with ExitStack() as stack:
        yield [
            stack.enter_context(_penstock(REAL, servers, waits_ms)),
            stack.enter_context(_penstock(EMBEDDED, servers, waits_ms)),
            stack.enter_context(_by_hand(REFERENCE, servers, redis_database=1)),
            stack.enter_context(_by_hand(FLOOR, servers, redis_database=2)),
        ]


@contextmanager
def _penstock(name: str, servers: Servers, waits_ms: list[int]) -> Iterator[System]:
    embedded = name == EMBEDDED
    setup = Setup(
        engine="embedded" if embedded else "real",
        backends={"fake": {"urls": [servers.backend_url], "concurrency": IN_FLIGHT}},
        models={model_name(wait_ms): {"targets": [{"backend": "fake"}]} for wait_ms in waits_ms},
        workers=1,
        amqp_url=None if embedded else servers.rabbitmq.url,
        redis_url=None if embedded else servers.redis.url,
    )
    with Stack(_folder(servers, name), setup) as stack:
        parts = {role.removesuffix("-0"): part.pid for role, part in stack.processes.items()}
        if not embedded:
            parts |= _shared(servers)
        yield System(name, stack.ports[0], parts, stack.logs)


@contextmanager
def _by_hand(name: str, servers: Servers, redis_database: int) -> Iterator[System]:
    """Run the two processes of benchmarks.reference or benchmarks.floor."""
    port, folder, module = reserve(), _folder(servers, name), f"benchmarks.{name}"
    redis_url = f"{servers.redis.url.removesuffix('/0')}/{redis_database}"
    shared = ["--name", name, "--amqp-url", servers.rabbitmq.url, "--redis-url", redis_url]
    backend = f"{servers.backend_url}/chat/completions"
    api = Process("api", module, ["api", "--port", str(port), *shared], folder / "api.log")
    worker = Process(
        "worker", module, ["worker", "--backend", backend, *shared], folder / "worker.log"
    )
    try:
        api.start()
        # Two that declare one quorum queue at once can get INTERNAL_ERROR from RabbitMQ 3.10.
        wait_ready(port, api)
        worker.start()
        parts = {"api": api.pid, "worker": worker.pid, **_shared(servers)}
        yield System(name, port, parts, lambda: api.text() + worker.text())
    finally:
        worker.kill()
        api.kill()


def model_name(wait_ms: int) -> str:
    """Return the model that the backend answers after `wait_ms`."""
    return f"wait-{wait_ms}"


def _shared(servers: Servers) -> dict[str, int]:
    return {"rabbitmq": servers.rabbitmq.pid, "redis": servers.redis.pid}


def _folder(servers: Servers, name: str) -> Path:
    folder = servers.directory / name.replace(" + ", "-")
    folder.mkdir()
    return folder
