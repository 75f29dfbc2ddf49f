"""The stream of `GET /v1/requests/{id}/events`: states as named events, chunks as they are."""

from __future__ import annotations

import orjson

from api.streams.framing import Broken, State, event, going_away, how_it_stands, numbered
from broker.ports import Chunk
from schemas.record import Record
from schemas.request import request_object


class NativeFraming:
    """Fills `Framing` with our own events."""

    tells_states = True

    def opening(self, _record: Record) -> bytes:
        """Say nothing: the first state comes at once."""
        return b""

    def state(self, state: State) -> bytes:
        """Return the request where its status is another, else a comment."""
        if not state.changed:
            return how_it_stands(state)
        expected = state.outlook
        told = request_object(state.record, expected.position, expected.eta_s, expected.waiting_for)
        return event(orjson.dumps(told), f"request.{state.record.status}")

    def chunk(self, chunk: Chunk) -> bytes:
        """Return the backend's event."""
        return numbered(chunk)

    def restarted(self, chunk: Chunk) -> bytes:
        """Return which attempt begins anew."""
        data = orjson.dumps({"attempt": chunk.attempt})
        return event(data, "request.restarted", chunk.number)

    def ended(self, record: Record, _last: int) -> bytes:
        """Return the request as it has ended."""
        return event(orjson.dumps(request_object(record)), f"request.{record.status}")

    def broken(self, _record: Record, broken: Broken, _last: int) -> bytes:
        """Return why it breaks off."""
        error = {"type": "stream_error", "code": broken.code, "message": broken.message}
        return event(orjson.dumps({"error": {**error, "param": None}}), "error")

    def leaving(self, _record: Record, last: int) -> bytes:
        """Return where to go on."""
        return going_away(last)
