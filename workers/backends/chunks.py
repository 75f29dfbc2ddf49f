"""The events of a streamed chat or text completion, judged one by one."""

from __future__ import annotations

from typing import Any

from broker.scheduling.retry import Failure, failure_of_status
from schemas.result import Usage
from workers.backends.answers import parse_answer, usage_of
from workers.backends.port import Answer, CallFailed
from workers.backends.sse import data_of

_DONE = b"[DONE]"
_STATUSES = range(400, 600)
_SHOWN_CHARS = 500


class Chunks:
    """What a stream has told so far: whether it is over, and the usage.

    `shows_usage`: the client asked for the chunk that tells the usage, and is to get it.
    """

    def __init__(self, *, shows_usage: bool) -> None:
        self._shows_usage = shows_usage
        self.usage: Usage | None = None
        self.is_done = False

    def take(self, event: bytes) -> bytes | None:
        """Return what of `event` is passed on: all of it or, None, nothing.

        Raises CallFailed for an event that is no JSON object, and for one that tells an error.
        """
        data = data_of(event).strip()
        if self.is_done or not data:
            return None
        if data == _DONE:
            self.is_done = True
            return event
        chunk = parse_answer(data)
        if chunk.get("error") or chunk.get("object") == "error":
            raise _broken_off(chunk, data)
        usage = usage_of(chunk)
        if usage is not None:
            self.usage = usage
            if chunk.get("choices") == [] and not self._shows_usage:
                return None
        return event

    def end(self) -> None:
        """Note the end of the stream. Raises CallFailed if it came too early."""
        if not self.is_done:
            raise CallFailed(Failure.UNUSABLE, "the backend's stream ended without [DONE]")


def _broken_off(chunk: dict[str, Any], data: bytes) -> CallFailed:
    """Return the failure that an error inside of a stream tells."""
    told = chunk.get("error")
    error = told if isinstance(told, dict) else chunk
    said = told if isinstance(told, str) else error.get("message")
    message = f"the backend broke off its stream with an error: {str(said)[:_SHOWN_CHARS]}"
    code = error.get("code")
    if type(code) is not int or code not in _STATUSES:
        return CallFailed(Failure.UNUSABLE, message)
    return CallFailed(failure_of_status(code), message, Answer(code, "application/json", data))
