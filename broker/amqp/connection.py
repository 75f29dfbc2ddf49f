"""A connection that comes back: its users ask for the session of the moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog
from aio_pika.connection import make_url

from broker.amqp.counters import Counters
from broker.amqp.session import Session, translated
from broker.lifecycle import Tasks, backoff
from schemas.errors import EngineError, QueueUnavailable

HEARTBEAT_S = 5
PREPARE_LIMIT_S = 30.0
# A session that lived this long is followed by a new one without delay.
STABLE_S = 10.0
OLDEST = (3, 10)

_log = structlog.get_logger("penstock.amqp")


class Link:
    """Keeps one connection to RabbitMQ, and prepares each new session before anyone gets it."""

    def __init__(
        self,
        url: str,
        name: str,
        prepare: Callable[[Session], Awaitable[None]],
        counters: Counters,
    ) -> None:
        self._url = make_url(url, heartbeat=HEARTBEAT_S, name=f"penstock {name}")
        self._name = name
        self._prepare = prepare
        self._counters = counters
        self._tasks = Tasks(f"amqp {name}")
        self._session: Session | None = None
        self._up = asyncio.Event()
        self.trouble: str | None = "RabbitMQ has not answered yet"

    def start(self) -> None:
        """Begin to connect, and never give up until `stop`."""
        self._tasks.supervise("connection", self._run)

    async def stop(self) -> None:
        """Close the connection; safe at any time."""
        await self._tasks.stop()
        self.trouble = "stopped"

    async def session(self) -> Session:
        """Return the live session, waiting for one if need be: the caller sets a time limit."""
        while self._session is None:
            await self._up.wait()
        return self._session

    async def health(self) -> str | None:
        """Return None when connected and not blocked, else a sentence."""
        session = self._session
        if session is None:
            return self.trouble
        if await session.blocked():
            return "RabbitMQ has raised a memory or disk alarm and takes no messages."
        return None

    async def _run(self) -> None:
        pauses = backoff()
        while True:
            try:
                session = await self._connect()
            except EngineError as error:
                self._note(str(error))
            else:
                await self._live(session)
                if time.monotonic() - session.since > STABLE_S:
                    pauses = backoff()
            await asyncio.sleep(next(pauses))

    async def _connect(self) -> Session:
        session = await Session.open(self._url)
        try:
            _refuse_too_old(session.version)
            with translated("RabbitMQ did not declare Penstock's queues"):
                async with asyncio.timeout(PREPARE_LIMIT_S):
                    await self._prepare(session)
        except BaseException:
            await session.close()
            raise
        return session

    async def _live(self, session: Session) -> None:
        self._session, self.trouble = session, None
        self._up.set()
        _log.info("amqp_connected", link=self._name, version=session.version)
        try:
            self._note(f"RabbitMQ is gone: {await session.watch()}")
            self._counters.connections_lost += 1
        finally:
            self._session = None
            self._up.clear()
            await session.close()

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            _log.warning("amqp_trouble", link=self._name, trouble=trouble)
        self.trouble = trouble


def _refuse_too_old(version: str) -> None:
    numbers = version.split(".")[:2]
    if all(part.isdigit() for part in numbers) and tuple(map(int, numbers)) < OLDEST:
        raise QueueUnavailable(f"RabbitMQ {version} is too old: Penstock needs 3.10 or newer.")
