"""`penstock serve`, `api` and `worker`: start the parts in order, end them in order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from api.app import Api, build_api
from broker.config import load_config
from broker.engine import open_engine
from broker.lifecycle import Tasks
from broker.ports import Engine
from cli.logs import configure_logs
from cli.memory import return_large_blocks
from schemas.config import Config
from schemas.errors import ConfigError, EngineError
from workers.pulse import BEAT_S
from workers.service import WorkerService

_log = structlog.get_logger("penstock")
_CLOSE_CONNECTIONS_S = 5


class Role(Enum):
    """Which parts this process runs."""

    BOTH = "serve"
    API = "api"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None and empty leave it to the environment and the file."""

    config_file: Path | None = None
    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    backends: Sequence[str] = ()
    backend_key_env: str | None = None
    only_models: Sequence[str] = ()

    def load(self) -> Config:
        """Return the configuration with these options over it. Raises ConfigError."""
        return load_config(self.config_file, os.environ, self.flags(), self.named_backends())

    def flags(self) -> dict[str, Any]:
        """Return the keys of `server` that are given here."""
        data_dir = None if self.data_dir is None else str(self.data_dir)
        given = {"host": self.host, "port": self.port, "data_dir": data_dir}
        return {name: value for name, value in given.items() if value is not None}

    def named_backends(self) -> dict[str, dict[str, Any]]:
        """Return the --backend options as a section. Raises ConfigError."""
        return _named_backends(self.backends, self.backend_key_env)


def run(role: Role, options: Options) -> None:
    """Run a role until SIGTERM or SIGINT. Raises ConfigError before anything is started."""
    config = options.load()
    if role is not Role.BOTH and config.server.embedded:
        raise ConfigError(
            f"`penstock {role.value}` needs PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL: embedded "
            "runs in one process: use penstock serve."
        )
    listener = None if role is Role.WORKER else _listen(config)
    configure_logs(config.server.log_level)
    return_large_blocks()
    _loop_runner()(_run(role, config, listener, options.only_models))


def _loop_runner() -> Any:
    """Return uvloop's runner where there is uvloop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _run(
    role: Role, config: Config, listener: socket.socket | None, only_models: Sequence[str]
) -> None:
    engine = open_engine(config.server)
    stopping = _stop_on_signals()
    tasks = Tasks("penstock")
    await engine.start()
    worker = None if role is Role.API else WorkerService(engine, config, only_models)
    if worker is not None:
        await worker.start()
        _tell_about_backends(config)
    doors = None
    if listener is not None:
        doors = _Doors(build_api(engine, config), listener)
        await doors.start()
    if worker is None:
        tasks.supervise("heartbeat", lambda: _beat(engine))
    await stopping.wait()
    _log.info("stopping: finishes what runs", drain_s=config.server.drain_s)
    await _end(engine, worker, doors, tasks, config.server.drain_s)


async def _end(
    engine: Engine,
    worker: WorkerService | None,
    doors: _Doors | None,
    tasks: Tasks,
    drain_s: float,
) -> None:
    """Accept nothing, finish what runs, answer what is held, leave, close."""
    if doors is not None:
        doors.api.drain()
    if worker is not None:
        await worker.drain()
    elif doors is not None:
        # Other processes run what is held here.
        await doors.api.holding.finished(drain_s)
    if doors is not None:
        await doors.stop()
    await tasks.stop()
    with contextlib.suppress(EngineError):
        await engine.members.leave()
    await engine.stop()
    _log.info("stopped")


async def _beat(engine: Engine) -> None:
    """Say that this api process lives: the calls it holds depend on it."""
    while True:
        try:
            await engine.members.beat("api", [])
        except EngineError as error:
            _log.warning("no heartbeat while the engine is away", error=str(error))
        await asyncio.sleep(BEAT_S)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the order of the end is ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Doors:
    """The HTTP server and the api behind it."""

    def __init__(self, api: Api, listener: socket.socket) -> None:
        self.api = api
        self._listener = listener
        self._server = _Server(
            uvicorn.Config(
                api.app,
                http="httptools",
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=_CLOSE_CONNECTIONS_S,
            )
        )
        self._tasks = Tasks("http")

    async def start(self) -> None:
        """Begin to answer."""
        await self.api.start()
        self._tasks.spawn("serve", self._server.serve(sockets=[self._listener]))
        host, port = self._listener.getsockname()[:2]
        _log.info("listens", url=f"http://{host}:{port}")

    async def stop(self) -> None:
        """Answer what is held, close the connections."""
        await self.api.stop()
        self._server.should_exit = True
        await self._tasks.join()


def _stop_on_signals() -> asyncio.Event:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _first_then_hard(stopping))
    return stopping


def _first_then_hard(stopping: asyncio.Event) -> Any:
    """Return a handler: the first signal drains, a second one ends the process at once."""

    def handle() -> None:
        if stopping.is_set():
            print("penstock: stopped without finishing", file=sys.stderr)
            os._exit(130)
        stopping.set()

    return handle


def _listen(config: Config) -> socket.socket:
    """Bind now, so that a taken port is one sentence and not a traceback."""
    server = config.server
    _check_loopback(server.host)
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((server.host, server.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot listen on {server.host}:{server.port}: {error.strerror}. "
            "Choose another with --port."
        ) from None
    listener.setblocking(False)
    return listener


def _check_loopback(host: str) -> None:
    """Refuse to serve strangers while no API key can be configured."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ConfigError(
            f"will not listen on {host}: there are no API keys yet, so only loopback addresses "
            "(127.0.0.1, ::1, localhost) are allowed."
        )


def _named_backends(backends: Sequence[str], key_env: str | None) -> dict[str, dict[str, Any]]:
    """Return the --backend options as a section of the configuration."""
    key = _key(key_env)
    named: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(backends, 1):
        name, separator, url = text.partition("=")
        if not separator or "://" in name:
            name, url = f"backend-{number}", text
        if name in named:
            raise ConfigError(f"--backend names {name!r} twice.")
        named[name] = {"urls": [url], **({"api_key": key} if key else {})}
    return named


def _key(key_env: str | None) -> str | None:
    if key_env is None:
        return None
    if not os.environ.get(key_env):
        raise ConfigError(f"--backend-key-env: the variable {key_env} is not set.")
    return os.environ[key_env]


def _tell_about_backends(config: Config) -> None:
    if not config.backends:
        _log.warning(
            "no backend, so no model: try `penstock serve --backend http://localhost:11434/v1`"
        )
