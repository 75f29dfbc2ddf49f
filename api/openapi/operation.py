"""One operation of the document, as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.auth import Access

JSON = "application/json"
EVENT_STREAM = "text/event-stream"
NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an operation answers: the name of a schema, or a schema; `streamed` shows a stream."""

    schema: str | Mapping[str, Any]
    example: Any
    said: str = "OK"
    headers: Sequence[str] = ()
    kind: str = JSON
    streamed: str | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path; `errors` are codes of the table of refusals beside those of every one.

    `body` is sent as `body_kind`; the example of one that is not JSON is its text.
    """

    id: str
    method: str
    path: str
    tag: str
    summary: str
    answers: Mapping[int, Answer]
    errors: Sequence[str] = ()
    parameters: Sequence[str] = ()
    body: str | Mapping[str, Any] | None = None
    example: Any = None
    description: str | None = None
    access: Access = Access.CLIENT
    # The fields of a form that calls it, where that is all it takes; `@` names a file.
    form: Mapping[str, str] = field(default_factory=dict)
    more_bodies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    body_kind: str = JSON
