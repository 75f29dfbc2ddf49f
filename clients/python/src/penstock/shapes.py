"""What the server tells, as values. Fields that a newer server adds are passed over."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Self, TypedDict, get_args

Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"]
Priority = Literal["high", "normal", "low", "batch"]
ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled", "expired")
PRIORITIES: tuple[Priority, ...] = get_args(Priority)
DEFAULT_ENDPOINT = "/v1/chat/completions"
_NOT_SLUG = re.compile(r"[^a-z0-9_-]")
_SLUG_BYTES = 120


class Receiver(TypedDict, total=False):
    """Where the end of one request is told: `url`, and what belongs to it.

    >>> from penstock import Receiver
    >>> Receiver(url="https://example.com/hook", event_types=["request.completed"])["url"]
    'https://example.com/hook'
    """

    url: str
    secret: str
    event_types: list[str]


class Options(TypedDict, total=False):
    """What can be said of a request beside its body; all of it may be left out.

    `endpoint` is the backend's path, /v1/chat/completions if not named. `model` stands in for
    `body["model"]`. `deadline` and `not_before` are Unix seconds; `timeout_s`, seconds, excludes
    `deadline`; both left out, a request waits a day. `metadata` is yours, up to 16 short texts.
    `webhook` is a URL or a `Receiver`. With `restart` a stream that is interrupted begins anew.
    `idempotency_key`: what has the same key is the same request, submitted once.

    >>> import penstock
    >>> options: penstock.Options = {"priority": "low", "timeout_s": 3600}
    >>> with penstock.Client() as client:
    ...     print(client.submit({"model": "llama3.2", "messages": []}, **options).priority)
    low
    """

    endpoint: str
    model: str
    priority: Priority
    deadline: float
    timeout_s: float
    not_before: float
    metadata: Mapping[str, str]
    webhook: str | Receiver
    restart: bool
    idempotency_key: str


@dataclass(frozen=True, slots=True)
class _Told:
    """Built from what a server said, whatever else it said."""

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Self | None:
        """Return the value in `told`. Raises TypeError if a field that must be there is not."""
        if told is None:
            return None
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in told.items() if name in known})


@dataclass(frozen=True, slots=True)
class Failure(_Told):
    """Why a request did not complete; `code` is a row of the documentation's table.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     ended = client.wait(client.submit({"model": "broken", "messages": []}))
    >>> ended.error.code
    'attempts_exhausted'
    """

    type: str
    code: str
    message: str
    param: str | None = None


@dataclass(frozen=True, slots=True)
class BackendResponse(_Told):
    """The backend's answer; `body` is None above 1 MiB.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     ended = client.wait(client.submit({"model": "llama3.2", "messages": []}))
    >>> ended.response.status_code
    200
    """

    status_code: int
    body: Any


@dataclass(frozen=True, slots=True)
class Target(_Told):
    """Where the last attempt went.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     ended = client.wait(client.submit({"model": "llama3.2", "messages": []}))
    >>> ended.target.backend
    'gpu-a'
    """

    backend: str
    model: str


@dataclass(frozen=True, slots=True)
class Usage(_Told):
    """The tokens that were charged.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     ended = client.wait(client.submit({"model": "llama3.2", "messages": []}))
    >>> ended.usage.total_tokens == ended.usage.input_tokens + ended.usage.output_tokens
    True
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int


@dataclass(frozen=True, slots=True)
class Attempt(_Told):
    """One call to a backend that has ended; `outcome` is `ok`, `cancelled`, or how it failed.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     ended = client.wait(client.submit({"model": "llama3.2", "messages": []}))
    >>> [(attempt.attempt, attempt.outcome) for attempt in ended.history]
    [(1, 'ok')]
    """

    attempt: int
    backend: str
    started_at: float
    ended_at: float
    outcome: str
    status_code: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it was when the server told of it. Times are Unix seconds.

    `position`, `eta_s` and `waiting_for` are what a queued one can expect.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     request = client.submit({"model": "llama3.2", "messages": []}, metadata={"job": "7"})
    ...     request = client.wait(request)
    >>> request.status, request.ended, request.attempts, request.metadata["job"]
    ('completed', True, 1, '7')
    """

    id: str
    status: Status
    model: str
    endpoint: str
    priority: Priority
    tenant: str
    created_at: float
    deadline: float
    attempts: int
    not_before: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    position: int | None = None
    eta_s: float | None = None
    waiting_for: str | None = None
    target: Target | None = None
    response: BackendResponse | None = None
    error: Failure | None = None
    usage: Usage | None = None
    metadata: Mapping[str, str]
    expires_at: float | None = None
    history: tuple[Attempt, ...] = ()

    _PARTS: ClassVar[Mapping[str, type[_Told]]] = {
        "target": Target,
        "response": BackendResponse,
        "error": Failure,
        "usage": Usage,
    }

    @property
    def ended(self) -> bool:
        """Whether its status is final."""
        return self.status in ENDED

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Self:
        """Return the request in a server's JSON. Raises ValueError if there is none in it."""
        if told.get("object") != "request":
            raise ValueError("this is no request")
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in told.items() if name in known}
        try:
            for name, kind in cls._PARTS.items():
                values[name] = kind.of(told.get(name))
            values["history"] = tuple(_attempts(told.get("history", ())))
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise ValueError(f"this is no request: {error}") from None


def _attempts(told: Iterable[Mapping[str, Any]]) -> Iterable[Attempt]:
    return (attempt for each in told if (attempt := Attempt.of(each)) is not None)


@dataclass(frozen=True, slots=True)
class Result:
    """What a completed request came to: the backend's answer.

    `body` is the JSON it sent; anything else, such as audio, as bytes.

    >>> import penstock
    >>> with penstock.Client() as client:
    ...     request = client.submit(
    ...         {"model": "nomic-embed-text", "input": "a fruit"}, endpoint="/v1/embeddings"
    ...     )
    ...     result = client.result(request)
    >>> result.body["data"][0]["object"], result.request.status
    ('embedding', 'completed')
    """

    request: Request
    body: Any

    @property
    def text(self) -> str:
        """The text of the first choice of a chat or completion; empty where there is none."""
        return text_of(self.body, "message")


def text_of(body: Any, part: str) -> str:
    """Return the text of an answer's first choice, or of a chunk's; in chats `part` holds it."""
    try:
        choice = body["choices"][0]
        text = choice[part]["content"] if part in choice else choice.get("text")
    except (KeyError, IndexError, TypeError, AttributeError):
        return ""
    return text if isinstance(text, str) else ""


def slug(model: str) -> str:
    """Return how a model is named in routing keys and queue names."""
    safe = _NOT_SLUG.sub("-", model.lower())
    if safe == model and len(safe) <= _SLUG_BYTES:
        return safe
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return f"{safe[: _SLUG_BYTES - 9]}-{digest}"
