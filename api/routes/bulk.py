"""The bulk door: JSON lines in, an acknowledgement for each out, both streamed."""

from __future__ import annotations

import asyncio

from api import preferences
from api.admission import Admission
from api.bulk.accepting import Accepting
from api.bulk.course import Course
from api.bulk.taking import Taker
from api.exchange import Exchange, StreamReply
from api.settings import Settings
from broker.lifecycle import Tasks
from schemas.errors import RequestError

MEDIA_TYPES = ("application/x-ndjson", "application/jsonl")


class BulkRoutes:
    """The handler of /v1/requests:bulk."""

    def __init__(self, admission: Admission, accepting: Accepting, settings: Settings) -> None:
        self._admission = admission
        self._accepting = accepting
        self._settings = settings
        self._courses: set[Course] = set()
        self._tasks = Tasks("bulk")

    async def submit(self, exchange: Exchange) -> StreamReply:
        """POST /v1/requests:bulk: each line is acknowledged once its request is durable."""
        exchange.check_media_type(*MEDIA_TYPES)
        taker = Taker(
            self._accepting,
            self._settings,
            exchange.caller,
            preferences.idempotency_key(exchange),
            preferences.traceparent(exchange),
        )
        if self._admission.draining:
            raise RequestError("draining")
        exchange.unhurried()
        course = Course(exchange, taker, self._settings.server.max_body_bytes, self._tasks)
        self._courses.add(course)
        # A client may wait until it is told to go on, and that is said as the body is first read.
        await asyncio.sleep(0)

        async def close() -> None:
            self._courses.discard(course)
            await course.close()

        return StreamReply(
            200, course.answers(), close, content_type=MEDIA_TYPES[0], reads_body=True
        )

    def drain(self) -> None:
        """Take no further line of any upload."""
        for course in self._courses:
            course.drain()

    async def stop(self) -> None:
        """Wait for what has begun."""
        await self._tasks.join()
        await self._accepting.stop()
