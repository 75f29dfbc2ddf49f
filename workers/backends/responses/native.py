"""The Responses of a backend that has them itself, told under our ids and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from broker.scheduling.retry import Failure
from schemas.responses.told import Origin, response_of
from schemas.result import Usage
from workers.backends.answers import parse_answer, usage_of
from workers.backends.port import CallFailed
from workers.backends.responses.building import BEFORE_THE_LOG
from workers.backends.sse import data_of

# Told by the door: what was asked of us, not of the backend.
_OURS = (
    "id",
    "object",
    "created_at",
    "model",
    "metadata",
    "background",
    "store",
    "previous_response_id",
    "service_tier",
)
_DROPPED = ("response.created", "response.queued")
_ENDS = ("response.completed", "response.incomplete")
_SHOWN_CHARS = 500


def native_body(asked: Mapping[str, Any]) -> bytes:
    """Return the body for a native backend: it keeps nothing, and holds the call open."""
    ours = ("background", "previous_response_id")
    sent = {name: value for name, value in asked.items() if name not in ours}
    return orjson.dumps({**sent, "store": False})


class Retelling:
    """Tells a backend's Response as ours; `first_event` is the number of its first event."""

    def __init__(self, origin: Origin, asked: Mapping[str, Any], first_event: int = 0) -> None:
        told = response_of(origin, asked, "in_progress")
        self._ours = {name: told[name] for name in _OURS}
        self._sequence_number = first_event + BEFORE_THE_LOG

    def whole(self, response: Mapping[str, Any]) -> dict[str, Any]:
        """Return the Response. Raises CallFailed for one that failed or has not ended."""
        status = response.get("status")
        if status not in ("completed", "incomplete"):
            raise _failed(response.get("error") or f"its Response is {status}")
        return {**response, **self._ours}

    def event(self, event: Mapping[str, Any]) -> list[bytes]:
        """Return the event as it is told here, if it is."""
        kind = str(event.get("type"))
        if kind in _DROPPED:
            return []
        told = {**event, "sequence_number": self._sequence_number}
        if isinstance(response := event.get("response"), dict):
            told["response"] = {**response, **self._ours}
        self._sequence_number += 1
        return [b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(told)]


class NativeEvents:
    """The events of a native backend, judged one by one, as `Chunks` judges those of a chat."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.is_done = False

    def take(self, event: bytes) -> bytes | None:
        """Return `event`, or None if nothing of it is passed on.

        Raises CallFailed for one that tells a failure, or is no event of a Response.
        """
        data = data_of(event).strip()
        if self.is_done or not data or data == b"[DONE]":
            return None
        told = parse_answer(data)
        kind, response = told.get("type"), told.get("response")
        if kind == "error" or told.get("error"):
            raise _failed(told.get("error") or told.get("message"))
        if not isinstance(kind, str) or "\n" in kind or "\r" in kind:
            raise CallFailed(Failure.UNUSABLE, "the backend's stream holds no events of a Response")
        if kind == "response.failed":
            raise _failed(response.get("error") if isinstance(response, dict) else None)
        if kind in _ENDS and isinstance(response, dict):
            self.usage = usage_of(response)
            self.is_done = True
        return event

    def end(self) -> None:
        """Note the end of the stream. Raises CallFailed if it came too early."""
        if not self.is_done:
            raise CallFailed(Failure.UNUSABLE, "the backend's stream ended without its Response")


def _failed(error: Any) -> CallFailed:
    said = error.get("message") if isinstance(error, dict) else error
    return CallFailed(Failure.UNUSABLE, f"the backend failed: {str(said)[:_SHOWN_CHARS]}")
