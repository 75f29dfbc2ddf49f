"""Turning what a client sent into an Intake: shapes, models, deadlines; no I/O."""

from __future__ import annotations

import math
import time
from typing import cast

from api import preferences
from api.exchange import Exchange, Headed
from api.intake import Intake, Terms
from api.settings import Settings
from schemas.body import JsonObject, read_nested, read_object, with_member, without_member
from schemas.bulk import BulkLine
from schemas.config import MAX_DEADLINE_S, ServerConfig
from schemas.destinations import AllowList, BadDestination, check_destination
from schemas.errors import RequestError
from schemas.misfits import fitted
from schemas.priority import Priority
from schemas.request import STREAMED_ENDPOINTS, SubmitRequest
from schemas.tokens import most_output
from schemas.webhooks import write_webhook

_MAX_MODEL_CHARACTERS = 200


def submitted(raw: bytes, exchange: Headed, settings: Settings) -> Intake:
    """Return the Intake of the object of a `POST /v1/requests`. Raises RequestError."""
    outer, inner = read_nested(raw, "body", "The body", "`body`")
    submit = fitted(SubmitRequest, outer.members)
    key, trace = preferences.idempotency_key(exchange), preferences.traceparent(exchange)
    return _understood(inner, submit, raw, settings, key, trace)


def submitted_in_bulk(
    raw: bytes, key: str | None, traceparent: str | None, settings: Settings
) -> Intake:
    """Return the Intake of one line of many. Raises RequestError.

    `key` is the line's where it names none. Naming one makes it no other request: sent again by
    itself, with the key beside it, it is the same.
    """
    outer, inner = read_nested(raw, "body", "The line", "`body`")
    submit = fitted(BulkLine, outer.members)
    sent = raw
    if submit.idempotency_key is not None:
        key = preferences.checked_key(submit.idempotency_key, "idempotency_key")
        sent = without_member(outer, "idempotency_key")
    return _understood(inner, submit, sent, settings, key, traceparent)


def _understood(
    inner: JsonObject | None,
    submit: SubmitRequest,
    sent: bytes,
    settings: Settings,
    key: str | None,
    traceparent: str | None,
) -> Intake:
    """Return the Intake of an object that fits, with the object at its `body`.

    `sent` is what makes it the same once more.
    """
    assert inner is not None  # noqa: S101  because what fits has an object there
    endpoints = settings.endpoints
    if submit.endpoint not in endpoints:
        raise RequestError(
            "unsupported_endpoint",
            f"The endpoint {submit.endpoint[:100]!r} is not served; use one of "
            f"{', '.join(endpoints)}.",
            param="endpoint",
        )
    stream, inner = _with_stream(inner, submit.stream, submit.endpoint)
    model, inner = _with_model(inner, submit.model)
    return Intake(
        path="/v1/requests",
        sent=sent,
        body=inner.raw,
        model=model,
        model_span=inner.spans["model"],
        endpoint=submit.endpoint,
        terms=Terms(
            priority=Priority(submit.priority),
            deadline=_deadline(submit, settings.server),
            not_before=submit.not_before,
            on_disconnect=submit.on_disconnect,
            key=key,
            restart=submit.restart,
            traceparent=traceparent,
        ),
        max_tokens=most_output(submit.endpoint, inner.members),
        stream=stream,
        webhook=_webhook(submit, settings.webhooks_allowed),
        metadata=submit.metadata,
    )


def check_webhook_url(url: str, allowed: AllowList, param: str) -> None:
    """Raise RequestError for a URL that no webhook is sent to."""
    try:
        check_destination(url, allowed)
    except BadDestination as error:
        raise RequestError(
            "invalid_webhook_url", f"`{param}` is no URL for webhooks: {error}.", param
        ) from None


def _webhook(submit: SubmitRequest, allowed: AllowList) -> str | None:
    if submit.webhook is None:
        return None
    check_webhook_url(submit.webhook.url, allowed, "webhook.url")
    return write_webhook(submit.webhook)


def called(raw: bytes, endpoint: str, exchange: Exchange, server: ServerConfig) -> Intake:
    """Return the Intake of a call in a dialect. Raises RequestError."""
    body = read_object(raw)
    stream, body = _with_stream(body, None, endpoint)
    model, body = _with_model(body, None)
    return Intake(
        path=endpoint,
        sent=raw,
        body=body.raw,
        model=model,
        model_span=body.spans["model"],
        endpoint=endpoint,
        terms=preferences.terms_of_call(exchange, server, endpoint, body.members),
        max_tokens=most_output(endpoint, body.members),
        stream=stream,
    )


def _with_stream(body: JsonObject, outer: bool | None, endpoint: str) -> tuple[bool, JsonObject]:
    """Return whether a stream is asked for and a body that asks the backend for one then."""
    inner = body.members.get("stream")
    if inner is not None and not isinstance(inner, bool):
        raise RequestError("invalid_body", "`stream` must be true or false.", param="stream")
    if outer is not None and inner is not None and outer is not inner:
        raise RequestError("invalid_body", "`stream` and `body.stream` differ.", param="stream")
    if not (outer or inner):
        return False, body
    if endpoint not in STREAMED_ENDPOINTS:
        raise RequestError("streaming_unsupported", param="stream")
    if inner:
        return True, body
    if "stream" in body.members:
        raise RequestError("invalid_body", "`body.stream` is null; leave it out.", param="stream")
    return True, read_object(with_member(body.raw, "stream", value=True), "`body`")


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
