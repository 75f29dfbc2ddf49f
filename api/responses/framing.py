"""The stream of a Response: its own events, each with its `sequence_number`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from api.responses.stored import origin_of, response_now
from api.streams.cursor import NOTHING
from api.streams.framing import Broken, State, event, going_away, how_it_stands
from broker.ports import Chunk
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.responses.told import response_of

# Told here before the log begins: the number n there is the sequence number n + 2.
_FIRST = ("response.created", "response.queued")


class ResponseFraming:
    """Fills `Framing` for /v1/responses; `asked` are the members of the request's body.

    `after` is the sequence number of the last event that the reader has, -1 if none.
    """

    tells_states = False

    def __init__(self, asked: Mapping[str, Any], after: int = -1) -> None:
        self.asked = asked
        self._after = after

    @property
    def after(self) -> int:
        """The number in the log of the last event that the reader has."""
        return max(NOTHING, self._after - len(_FIRST))

    def opening(self, record: Record) -> bytes:
        """Return the two events before the log, as far as the reader has not got them."""
        response = response_of(origin_of(record, self.asked), self.asked, "queued")
        return b"".join(
            _event(kind, number, {"response": response})
            for number, kind in enumerate(_FIRST)
            if number > self._after
        )

    def state(self, state: State) -> bytes:
        """Return a comment."""
        return how_it_stands(state)

    def chunk(self, chunk: Chunk) -> bytes:
        """Return the event as the worker wrote it."""
        return chunk.data + b"\n\n"

    def restarted(self, _chunk: Chunk) -> bytes:
        """Say nothing: such a request is refused at the door."""
        return b""

    def ended(self, record: Record, last: int) -> bytes:
        """Return why it did not complete; a completed one has ended with its own last event."""
        if record.status is Status.COMPLETED:
            return b""
        response = response_now(record, self.asked)
        return _event("response.failed", _after(last), {"response": response})

    def broken(self, _record: Record, broken: Broken, last: int) -> bytes:
        """Return why it breaks off."""
        error = {"code": broken.code, "message": broken.message, "param": None}
        return _event("error", _after(last), error)

    def leaving(self, _record: Record, last: int) -> bytes:
        """Return where to go on."""
        return going_away(_after(last) - 1)


def _after(last: int) -> int:
    return last + 1 + len(_FIRST)


def _event(kind: str, number: int, members: Mapping[str, Any]) -> bytes:
    told = {"type": kind, "sequence_number": number, **members}
    return event(orjson.dumps(told), kind)
