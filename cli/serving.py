"""`penstock serve`, `api` and `worker`: start the parts in order, end them in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from typing import Any

import structlog

from api.app import Api, build_api
from api.catalog import Catalog
from api.wire import Limits
from broker.config_warnings import unread_file
from broker.engine import open_engine
from broker.lifecycle import Tasks
from broker.ports import Engine, Served
from cli.alive import keep_touching, touch_or_refuse
from cli.http_server import HttpServer
from cli.listening import check_strangers, limits_of, listen
from cli.logs import configure_logs, set_log_level
from cli.memory import return_large_blocks
from cli.options import Options, Role
from cli.reloading import Reloading, WatchedFile
from cli.tls import tls_context
from schemas.config import Config
from schemas.errors import ConfigError, EngineError
from workers.pulse import BEAT_S
from workers.service import WorkerService

_log = structlog.get_logger("penstock")


def run(role: Role, options: Options) -> None:
    """Run a role until SIGTERM or SIGINT. Raises ConfigError before anything is started."""
    # Until the file can be read again; the default would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    file = WatchedFile(options.config_file)
    config = _load(role, options)
    if role is not Role.BOTH and config.server.embedded:
        raise ConfigError(
            f"`penstock {role.value}` needs PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL: embedded "
            "runs in one process: use penstock serve."
        )
    if options.alive_file is not None:
        touch_or_refuse(options.alive_file)
    tls = None if role is Role.WORKER else tls_context(config.server)
    listener = None if role is Role.WORKER else listen(config)
    configure_logs(config.server.log_level)
    for told in unread_file(options.config_file):
        _log.warning(told)
    return_large_blocks()
    _loop_runner()(_run(role, config, file, options, listener, tls))


def _load(role: Role, options: Options) -> Config:
    config = options.load()
    if role is not Role.WORKER:
        check_strangers(config)
    return config


def _loop_runner() -> Any:
    """Return uvloop's runner where there is uvloop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _run(
    role: Role,
    config: Config,
    file: WatchedFile,
    options: Options,
    listener: socket.socket | None,
    tls: ssl.SSLContext | None,
) -> None:
    limits = limits_of(config)
    engine = open_engine(config)
    stopping = _stop_on_signals()
    tasks = Tasks("penstock")
    await engine.start()
    worker = None if role is Role.API else WorkerService(engine, config, options.only_models)
    if worker is not None:
        await worker.start()
        _tell_about_backends(config)
    doors = None
    if listener is not None:
        doors = _Doors(build_api(engine, config), listener, limits, tls)
        await doors.start()
    if worker is None and doors is not None:
        catalog = doors.api.catalog
        tasks.supervise("heartbeat", lambda: _beat(engine, catalog))
    if (alive_file := options.alive_file) is not None:
        tasks.supervise("alive file", lambda: keep_touching(alive_file))
    reloading = Reloading(
        file, config, lambda: _load(role, options), lambda new: _apply(new, worker, doors)
    )
    reloading.start()
    await stopping.wait()
    await reloading.stop()
    drain_s = reloading.config.server.drain_s
    _log.info("stopping: finishes what runs", drain_s=drain_s)
    await _end(engine, worker, doors, tasks, drain_s)


async def _apply(config: Config, worker: WorkerService | None, doors: _Doors | None) -> None:
    """Take a new configuration over: the doors first, so that nothing comes for what goes."""
    set_log_level(config.server.log_level)
    if doors is not None:
        doors.api.apply(config)
    if worker is not None:
        await worker.apply(config)


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


async def _beat(engine: Engine, catalog: Catalog) -> None:
    """Say that this api process lives: the calls it holds depend on it.

    And that its models are known: a worker whose configuration is older must not end what was
    accepted for a new one.
    """
    while True:
        try:
            known = [Served(name, slots=0) for name in catalog.configured]
            await engine.members.beat("api", known)
        except EngineError as error:
            _log.warning("no heartbeat while the engine is away", error=str(error))
        await asyncio.sleep(BEAT_S)


class _Doors:
    """The HTTP server and the api behind it."""

    def __init__(
        self, api: Api, listener: socket.socket, limits: Limits, tls: ssl.SSLContext | None
    ) -> None:
        self.api = api
        self._listener = listener
        self._scheme = "http" if tls is None else "https"
        self._server = HttpServer(api, limits, tls)
        self._tasks = Tasks("http")

    async def start(self) -> None:
        """Begin to answer."""
        await self.api.start()
        self._tasks.spawn("serve", self._server.serve(sockets=[self._listener]))
        host, port = self._listener.getsockname()[:2]
        _log.info("listens", url=f"{self._scheme}://{host}:{port}")

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


def _tell_about_backends(config: Config) -> None:
    if not config.backends:
        _log.warning(
            "no backend, so no model: try `penstock serve --backend http://localhost:11434/v1`"
        )
