"""Turning what a client sent into an Intake: shapes, models, deadlines; no I/O."""

from __future__ import annotations

import math
import time
from collections.abc import Collection
from typing import cast

from pydantic import ValidationError

from api import preferences
from api.exchange import Exchange, Headed
from api.intake import Intake, Terms
from schemas.body import JsonObject, read_object, with_member
from schemas.config import MAX_DEADLINE_S, ServerConfig
from schemas.errors import RequestError
from schemas.priority import Priority
from schemas.request import SubmitRequest
from schemas.tokens import most_output

_MAX_MODEL_CHARACTERS = 200


def submitted(
    raw: bytes, exchange: Headed, server: ServerConfig, endpoints: Collection[str]
) -> Intake:
    """Return the Intake of the object of a `POST /v1/requests`. Raises RequestError."""
    outer = read_object(raw)
    submit = _validated(outer)
    if submit.endpoint not in endpoints:
        raise RequestError(
            "unsupported_endpoint",
            f"The endpoint {submit.endpoint[:100]!r} is not served; use one of "
            f"{', '.join(endpoints)}.",
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
        terms=Terms(
            priority=Priority(submit.priority),
            deadline=_deadline(submit, server),
            not_before=submit.not_before,
            on_disconnect=submit.on_disconnect,
            key=preferences.idempotency_key(exchange),
            traceparent=preferences.traceparent(exchange),
        ),
        max_tokens=most_output(submit.endpoint, inner.members),
        metadata=submit.metadata,
    )


def called(raw: bytes, endpoint: str, exchange: Exchange, server: ServerConfig) -> Intake:
    """Return the Intake of a call in a dialect. Raises RequestError."""
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
        terms=preferences.terms_of_call(exchange, server, body.members.get("service_tier")),
        max_tokens=most_output(endpoint, body.members),
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
    model = check_model(cast(str, inner or outer))
    if inner is None:
        return model, read_object(with_member(body.raw, "model", model), "`body`")
    return model, body


def check_model(model: str) -> str:
    """Return `model`. Raises RequestError for a name that none can have."""
    if not model or len(model) > _MAX_MODEL_CHARACTERS:
        raise RequestError(
            "invalid_body", f"`model` must have 1 to {_MAX_MODEL_CHARACTERS} characters.", "model"
        )
    return model


def _deadline(submit: SubmitRequest, server: ServerConfig) -> float:
    now = time.time()
    if submit.deadline is not None and submit.timeout_s is not None:
        raise RequestError(
            "invalid_deadline", "Give `deadline` or `timeout_s`, not both.", param="deadline"
        )
    if submit.deadline is not None:
        deadline, param = submit.deadline, "deadline"
    else:
        waits_s = server.default_timeout_s if submit.timeout_s is None else submit.timeout_s
        deadline, param = now + waits_s, "timeout_s"
    _check_deadline(deadline, now, param)
    if submit.not_before is not None and not 0 <= submit.not_before < deadline:
        raise RequestError(
            "invalid_deadline",
            "`not_before` must be Unix seconds before the deadline.",
            "not_before",
        )
    return deadline


def _check_deadline(deadline: float, now: float, param: str) -> None:
    if not math.isfinite(deadline) or deadline <= now:
        raise RequestError("invalid_deadline", "The deadline has already passed.", param=param)
    if deadline > now + MAX_DEADLINE_S:
        raise RequestError(
            "invalid_deadline", f"The deadline is over {MAX_DEADLINE_S} s away.", param=param
        )
