"""How far a reader has come in a stream, and what it may be told next: never a splice. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from broker.ports import Chunk
from schemas.lifecycle import Status
from schemas.record import Record

NOTHING = -1
EVENT_STREAM = "text/event-stream"


class Interrupted(Exception):
    """What comes next is not the continuation of what was told: the rest of that is lost."""


class Cursor:
    """The place of one reader; `number` is that of the last event it has, -1 if none.

    A reader that has nothing takes what there is. One that has something takes only what follows
    it without a gap and from the same attempt, or a chunk without data: it says "begins anew".
    """

    def __init__(self, number: int = NOTHING) -> None:
        self.number = number
        # Of the content that was told here; what a reader brings along is known by number only.
        self._attempt: int | None = None

    def take(self, chunk: Chunk) -> bool:
        """Tell whether `chunk` is to be told, and go on to it. Raises Interrupted."""
        if chunk.number <= self.number:
            return False
        if chunk.data:
            gap = self.number != NOTHING and chunk.number != self.number + 1
            if gap or self._attempt not in (None, chunk.attempt):
                raise Interrupted
        self._attempt = chunk.attempt if chunk.data else None
        self.number = chunk.number
        return True

    def rest(self, ended: Record) -> Sequence[Chunk]:
        """Return what is left to tell when the log has been read or is gone: cut from the result.

        Raises Interrupted.
        """
        result = ended.result
        if result is None or not streamed(ended):
            return ()
        attempt = self._attempt or ended.attempt
        first = result.first_event
        left = max(0, self.number + 1 - first)
        events = events_of(result.body or b"")[left:]
        chunks = [
            Chunk(number, attempt, data) for number, data in enumerate(events, start=first + left)
        ]
        if self.number == NOTHING or self.number >= first - 1:
            return chunks
        if not ended.restart:
            raise Interrupted
        return [Chunk(first - 1, ended.attempt, b""), *chunks]


def streamed(ended: Record) -> bool:
    """Tell whether the request has completed with a stream as its answer."""
    result = ended.result
    if result is None or result.status is not Status.COMPLETED:
        return False
    return (result.content_type or "").partition(";")[0].strip().lower() == EVENT_STREAM


def events_of(body: bytes) -> list[bytes]:
    """Return the events of a stored stream: each ends with a blank line, which is left out."""
    return [event for event in body.split(b"\n\n") if event]
