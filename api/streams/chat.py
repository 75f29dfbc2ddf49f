"""The stream of a held call in OpenAI's dialect: the backend's own events, numbered."""

from __future__ import annotations

from typing import Any

import orjson

from api.holding import RELEASED
from api.streams.framing import Broken, State, event, going_away, how_it_stands, numbered
from broker.ports import Chunk
from schemas.errors import DOOR_ERRORS, TERMINAL_CODES
from schemas.lifecycle import Status
from schemas.record import Record
from schemas.result import Result

_SERVER = "server_error"


class ChatFraming:
    """Fills `Framing` for chat and completions: an SDK raises what the error events say."""

    tells_states = False

    def opening(self, _record: Record) -> bytes:
        """Say nothing: the dialect has no such event."""
        return b""

    def state(self, state: State) -> bytes:
        """Return a comment."""
        return how_it_stands(state)

    def chunk(self, chunk: Chunk) -> bytes:
        """Return the backend's event."""
        return numbered(chunk)

    def restarted(self, chunk: Chunk) -> bytes:
        """Return an event that a client which knows nothing of it takes for an empty chunk."""
        data = orjson.dumps({"attempt": chunk.attempt, "choices": []})
        return event(data, "request.restarted", chunk.number)

    def ended(self, record: Record, _last: int) -> bytes:
        """Return why it did not complete; a completed one has ended with its own last event."""
        result = record.result
        if record.status is Status.COMPLETED or result is None:
            return b""
        return event(_of_backend(result) or _error(result.code or "", result.message, record.id))

    def broken(self, record: Record, broken: Broken, _last: int) -> bytes:
        """Return why it breaks off."""
        return event(_error(broken.code, broken.message, record.id))

    def leaving(self, record: Record, last: int) -> bytes:
        """Return where to go on, and an error: an end without one looks like a whole answer."""
        told = event(_error("draining", RELEASED[record.on_disconnect], record.id))
        return going_away(last) + told


def _error(code: str, message: str | None, request_id: str) -> bytes:
    row = DOOR_ERRORS.get(code)
    sentence = message or TERMINAL_CODES.get(code, code)
    return orjson.dumps(
        {
            "error": {
                "message": f"{sentence} (request {request_id})",
                "type": row.type if row is not None else _SERVER,
                "param": None,
                "code": code,
            }
        }
    )


def _of_backend(result: Result) -> bytes | None:
    """Return the backend's own error object on one line, if it has sent one."""
    if result.code != "backend_failed" or result.body is None:
        return None
    try:
        said: Any = orjson.loads(result.body)
    except orjson.JSONDecodeError:
        return None
    return orjson.dumps(said) if isinstance(said, dict) and said.get("error") else None
