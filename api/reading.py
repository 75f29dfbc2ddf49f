"""Turning what a client sent into an Intake: shapes, deadlines, headers; no I/O."""

from __future__ import annotations

import math
import re
import time
from typing import Any, cast

from pydantic import ValidationError

from api.admission import Intake
from api.exchange import Exchange
from schemas.body import JsonObject, read_object, with_member
from schemas.config import MAX_DEADLINE_S, ServerConfig
from schemas.envelope import OnDisconnect
from schemas.errors import RequestError
from schemas.priority import Priority
from schemas.request import ENDPOINTS, SubmitRequest

_HELD_TIMEOUT_S = 600.0
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_MAX_MODEL_CHARACTERS = 200


def submitted(raw: bytes, exchange: Exchange, server: ServerConfig) -> Intake:
    """Return the Intake of a `POST /v1/requests`. Raises RequestError."""
    outer = read_object(raw)
    submit = _validated(outer)
    if submit.endpoint not in ENDPOINTS:
        raise RequestError(
            "unsupported_endpoint",
            f"The endpoint {submit.endpoint[:100]!r} is not served; use one of "
            f"{', '.join(ENDPOINTS)}.",
            param="endpoint",
        )
    inner = read_object(outer.part("body"), "`body`")
    if submit.stream or inner.members.get("stream"):
        raise RequestError("streaming_unsupported", param="stream")
    model, inner = _with_model(inner, submit.model)
    return Intake(
        path="/v1/requests",
        sent=raw,
        body=inner.raw,
        model=model,
        model_span=inner.spans["model"],
        endpoint=submit.endpoint,
        priority=Priority(submit.priority),
        deadline=_deadline(submit, server),
        not_before=submit.not_before,
        on_disconnect=submit.on_disconnect,
        traceparent=_traceparent(exchange),
        metadata=submit.metadata,
    )


def called(raw: bytes, endpoint: str, exchange: Exchange) -> Intake:
    """Return the Intake of a held call in OpenAI's dialect. Raises RequestError."""
    body = read_object(raw)
    if body.members.get("stream"):
        raise RequestError("streaming_unsupported", param="stream")
    model, body = _with_model(body, None)
    return Intake(
        path=endpoint,
        sent=raw,
        body=body.raw,
        model=model,
        model_span=body.spans["model"],
        endpoint=endpoint,
        priority=_priority_header(exchange),
        deadline=time.time() + _held_timeout_s(exchange),
        on_disconnect=_disconnect_header(exchange),
        held=True,
        traceparent=_traceparent(exchange),
    )


def _validated(outer: JsonObject) -> SubmitRequest:
    try:
        return SubmitRequest.model_validate(outer.members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        param = ".".join(str(part) for part in first["loc"])[:200] or None
        raise RequestError("invalid_body", f"`{param}`: {first['msg']}.", param=param) from None


def _with_model(body: JsonObject, outer: str | None) -> tuple[str, JsonObject]:
    """Return the model's name and a body that holds it."""
    inner = body.members.get("model")
    if inner is None and "model" in body.members:
        raise RequestError("invalid_body", "`model` is null; name a model.", param="model")
    if inner is None and outer is None:
        raise RequestError("invalid_body", "`model` is missing.", param="model")
    if inner is not None and not isinstance(inner, str):
        raise RequestError("invalid_body", "`model` must be a string.", param="model")
    if inner is not None and outer is not None and inner != outer:
        raise RequestError("model_mismatch", param="model")
    model = cast(str, inner or outer)
    if not model or len(model) > _MAX_MODEL_CHARACTERS:
        raise RequestError(
            "invalid_body", f"`model` must have 1 to {_MAX_MODEL_CHARACTERS} characters.", "model"
        )
    if inner is None:
        return model, read_object(with_member(body.raw, "model", model), "`body`")
    return model, body


def _deadline(submit: SubmitRequest, server: ServerConfig) -> float:
    now = time.time()
    if submit.deadline is not None and submit.timeout_s is not None:
        raise RequestError(
            "invalid_deadline", "Give `deadline` or `timeout_s`, not both.", param="deadline"
        )
    if submit.deadline is not None:
        deadline, param = submit.deadline, "deadline"
    else:
        deadline, param = now + (submit.timeout_s or server.default_timeout_s), "timeout_s"
        if submit.timeout_s == 0:
            deadline = now
    _check_deadline(deadline, now, param)
    if submit.not_before is not None and not 0 <= submit.not_before < deadline:
        raise RequestError(
            "invalid_deadline", "`not_before` does not lie before the deadline.", "not_before"
        )
    return deadline


def _check_deadline(deadline: float, now: float, param: str) -> None:
    if not math.isfinite(deadline) or deadline <= now:
        raise RequestError("invalid_deadline", "The deadline has already passed.", param=param)
    if deadline > now + MAX_DEADLINE_S:
        raise RequestError(
            "invalid_deadline", f"The deadline is over {MAX_DEADLINE_S} s away.", param=param
        )


def _held_timeout_s(exchange: Exchange) -> float:
    """Return how long the caller waits: our header, else the OpenAI SDK's, else 600 s."""
    name = "x-penstock-timeout-s"
    text = exchange.header(name)
    if text is None:
        return _sdk_timeout_s(exchange.header("x-stainless-read-timeout"))
    seconds = _number(text)
    if seconds is None or not 0 < seconds <= MAX_DEADLINE_S:
        raise RequestError("invalid_deadline", f"{name} must be seconds above 0.", param=name)
    return seconds


def _sdk_timeout_s(text: str | None) -> float:
    seconds = _number(text or "")
    if seconds is None or not 0 < seconds <= MAX_DEADLINE_S:
        return _HELD_TIMEOUT_S
    return seconds


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _priority_header(exchange: Exchange) -> Priority:
    text = exchange.header("x-penstock-priority")
    return cast(Priority, _one_of("x-penstock-priority", text, Priority, Priority.NORMAL))


def _disconnect_header(exchange: Exchange) -> OnDisconnect:
    name = "x-penstock-on-disconnect"
    text = exchange.header(name)
    if text in (None, "cancel", "finish"):
        return cast(OnDisconnect, text or "cancel")
    raise RequestError("invalid_body", f"{name} must be cancel or finish.", param=name)


def _one_of(name: str, text: str | None, kind: Any, default: Any) -> Any:
    if text is None:
        return default
    try:
        return kind(text)
    except ValueError:
        allowed = ", ".join(kind)
        raise RequestError("invalid_body", f"{name} must be one of {allowed}.", name) from None


def _traceparent(exchange: Exchange) -> str | None:
    """Return the W3C trace context, if it is well formed; anything else is dropped."""
    text = exchange.header("traceparent") or ""
    return text if _TRACEPARENT.fullmatch(text) else None
