"""The native request: what a client submits, and the one object it reads back everywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.attempts import Attempt
from schemas.envelope import OnDisconnect
from schemas.errors import TERMINAL_CODES
from schemas.lifecycle import Status
from schemas.priority import Priority
from schemas.record import Record
from schemas.result import Result
from schemas.webhooks import AskedWebhook

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
STREAMED_ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
MAX_INLINE_BODY_BYTES = 1024 * 1024
MAX_METADATA_PAIRS = 16


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


Text = Annotated[str, AfterValidator(_without_nul)]
MetadataKey = Annotated[Text, Field(max_length=64)]
MetadataValue = Annotated[Text, Field(max_length=512)]


class SubmitRequest(BaseModel):
    """The body of `POST /v1/requests`. Unknown fields are refused; those inside `body` pass."""

    model_config = ConfigDict(extra="forbid", strict=True)

    body: dict[str, Any] = Field(description="The backend's own JSON, passed on as sent.")
    endpoint: str = Field("/v1/chat/completions", description="The backend's path.")
    model: str | None = Field(None, description="Defaults to `body.model`.", max_length=200)
    priority: Literal["high", "normal", "low", "batch"] = "normal"
    deadline: float | None = Field(None, description="Unix seconds; excludes `timeout_s`.")
    timeout_s: float | None = Field(None, description="Seconds until the deadline.")
    not_before: float | None = Field(None, description="Unix seconds of the earliest start.")
    stream: bool | None = Field(
        None, description="Read it from `/v1/requests/{id}/events`; defaults to `body.stream`."
    )
    restart: bool = Field(
        default=False,
        description="Whether a stream may begin anew once a part of it was shown and is lost.",
    )
    on_disconnect: OnDisconnect = "cancel"
    webhook: AskedWebhook | None = Field(None, description="Where the end is told.")
    # By a factory, since a default that can change is copied deeply each time.
    metadata: dict[MetadataKey, MetadataValue] = Field(
        default_factory=dict, max_length=MAX_METADATA_PAIRS
    )


class RequestError(BaseModel):
    """Why a request did not complete."""

    type: str
    code: str
    message: str
    param: str | None = None


class BackendResponse(BaseModel):
    """The backend's answer; `body` is null above 1 MiB."""

    status_code: int
    body: Any


class RequestTarget(BaseModel):
    """Where the last attempt went."""

    backend: str
    model: str


class RequestUsage(BaseModel):
    """The tokens that were charged."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


class RequestObject(BaseModel):
    """A request as every door shows it. Times are Unix seconds."""

    id: str
    object: Literal["request"]
    status: Literal["queued", "in_progress", "completed", "failed", "cancelled", "expired"]
    model: str
    endpoint: str
    priority: Priority
    tenant: str
    created_at: float
    deadline: float
    not_before: float | None
    started_at: float | None
    finished_at: float | None
    attempts: int
    position: int | None
    eta_s: float | None
    waiting_for: str | None
    target: RequestTarget | None
    response: BackendResponse | None
    error: RequestError | None
    usage: RequestUsage | None
    metadata: dict[str, str]
    expires_at: float | None


class RequestAttempt(BaseModel):
    """One call to a backend that has ended; `outcome` is `ok`, `cancelled`, or how it failed."""

    attempt: int
    backend: str
    started_at: float
    ended_at: float
    outcome: str
    status_code: int | None
    message: str | None


class RequestWhole(RequestObject):
    """A request as one is read by its id: with its attempts, the first and the newest of them."""

    history: list[RequestAttempt]


def whole_request(
    record: Record,
    position: int | None = None,
    eta_s: float | None = None,
    waiting_for: str | None = None,
) -> dict[str, Any]:
    """Return the RequestWhole of `record`; see request_object."""
    return {
        **request_object(record, position, eta_s, waiting_for),
        "history": history_of(record),
    }


def history_of(record: Record) -> list[dict[str, Any]]:
    """Return every attempt that has ended; a first one that succeeded is told from the result."""
    attempts = list(record.history)
    result = record.result
    if result is not None and result.status is Status.COMPLETED and record.attempt == 1:
        began = record.started_at or result.finished_at
        backend = result.backend or ""
        attempts.append(Attempt(1, backend, began, result.finished_at, "ok", result.status_code))
    return [
        {
            "attempt": attempt.number,
            "backend": attempt.backend,
            "started_at": _milliseconds(attempt.started_at),
            "ended_at": _milliseconds(attempt.ended_at),
            "outcome": attempt.outcome,
            "status_code": attempt.status_code,
            "message": attempt.message,
        }
        for attempt in attempts
    ]


def request_object(
    record: Record,
    position: int | None = None,
    eta_s: float | None = None,
    waiting_for: str | None = None,
) -> dict[str, Any]:
    """Return the RequestObject of `record`, ready for orjson: the body's bytes are not parsed.

    The last three are what a queued one can expect.
    """
    result = record.result
    return {
        "id": record.id,
        "object": "request",
        "status": record.status,
        "model": record.model,
        "endpoint": record.endpoint,
        "priority": record.priority,
        "tenant": record.tenant,
        "created_at": _milliseconds(record.accepted_at),
        "deadline": _milliseconds(record.deadline),
        "not_before": _milliseconds(record.not_before),
        "started_at": _milliseconds(record.started_at),
        "finished_at": _milliseconds(record.finished_at),
        "attempts": record.attempt,
        "position": position,
        "eta_s": eta_s,
        "waiting_for": waiting_for,
        "target": _target(result),
        "response": _response(result),
        "error": _error(result),
        "usage": _usage(result),
        "metadata": dict(record.metadata),
        "expires_at": _milliseconds(record.expires_at),
    }


def _milliseconds(instant: float | None) -> float | None:
    return None if instant is None else round(instant, 3)


def _target(result: Result | None) -> dict[str, str | None] | None:
    if result is None or result.backend is None:
        return None
    return {"backend": result.backend, "model": result.backend_model}


def _response(result: Result | None) -> dict[str, Any] | None:
    if result is None or result.status_code is None:
        return None
    return {"status_code": result.status_code, "body": _inline(result.body)}


def _inline(body: bytes | None) -> Any:
    """Return JSON as a fragment that keeps its bytes, anything else as text."""
    if body is None or len(body) > MAX_INLINE_BODY_BYTES:
        return None
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    return orjson.Fragment(body)


def _error(result: Result | None) -> dict[str, str | None] | None:
    if result is None or result.code is None:
        return None
    message = result.message or TERMINAL_CODES.get(result.code, result.code)
    return {"type": "request_failed", "code": result.code, "message": message, "param": None}


def _usage(result: Result | None) -> dict[str, int] | None:
    if result is None or result.usage is None:
        return None
    usage = result.usage
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
    }
