"""What a call's headers and `service_tier` ask for beside its body; no I/O."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from api.exchange import Exchange, Headed
from api.intake import Terms
from api.query import named_priority, number_in
from schemas.config import MAX_DEADLINE_S, ServerConfig
from schemas.envelope import OnDisconnect
from schemas.errors import RequestError
from schemas.priority import Priority
from schemas.responses.told import ENDPOINT as RESPONSES

_HELD_TIMEOUT_S = 600.0
_MAX_KEY_CHARACTERS = 255
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_PRIORITY_OF_TIER: Final = {
    "priority": Priority.HIGH,
    "fast": Priority.HIGH,
    "auto": Priority.NORMAL,
    "default": Priority.NORMAL,
    "scale": Priority.NORMAL,
    "flex": Priority.LOW,
}


def terms_of_call(
    exchange: Exchange,
    server: ServerConfig,
    endpoint: str,
    members: Mapping[str, Any] = MappingProxyType({}),
) -> Terms:
    """Return the terms of a call in a dialect whose JSON body has these members.

    It is held open unless it prefers not to be. Raises RequestError.
    """
    tier, responds = members.get("service_tier"), endpoint == RESPONSES
    background = responds and members.get("background") is True
    held = not background and not _responds_async(exchange)
    waits_s = _timeout_s(exchange) or (
        _sdk_timeout_s(exchange) if held else server.default_timeout_s
    )
    return Terms(
        priority=_priority(exchange, tier),
        deadline=time.time() + waits_s,
        on_disconnect=_on_disconnect(exchange),
        held=held,
        key=idempotency_key(exchange),
        repeated=_is_sdk_retry(exchange),
        names_tier=tier is not None,
        background=background,
        forgotten=responds and members.get("store") is False,
        restart=_restart(exchange),
        traceparent=traceparent(exchange),
    )


def idempotency_key(exchange: Headed) -> str | None:
    """Return the Idempotency-Key. Raises RequestError for one that cannot be."""
    key = exchange.header("idempotency-key")
    return None if key is None else checked_key(key, "Idempotency-Key")


def checked_key(key: str, param: str) -> str:
    """Return `key`. Raises RequestError for one that cannot be."""
    if len(key) > _MAX_KEY_CHARACTERS or not _VISIBLE.fullmatch(key):
        raise RequestError(
            "invalid_body",
            f"{param} must be 1 to {_MAX_KEY_CHARACTERS} visible ASCII characters.",
            param=param,
        )
    return key


def _responds_async(exchange: Exchange) -> bool:
    """Tell whether the client wants a 202 at once: `Prefer: respond-async` (RFC 7240)."""
    preferences = (exchange.header("prefer") or "").lower().split(",")
    return any(each.partition(";")[0].strip() == "respond-async" for each in preferences)


def _is_sdk_retry(exchange: Exchange) -> bool:
    """Tell whether an OpenAI SDK says that it has sent this before."""
    count = exchange.header("x-stainless-retry-count") or "0"
    return count.isdigit() and int(count[:9]) > 0


def _priority(exchange: Exchange, tier: Any) -> Priority:
    """Return the class that x-penstock-priority or the body's `service_tier` names.

    Raises RequestError for an unknown one, or when the two differ.
    """
    name = "x-penstock-priority"
    by_header = named_priority(name, exchange.header(name))
    by_tier = _priority_of_tier(tier)
    if by_header is not None and by_tier is not None and by_header is not by_tier:
        raise RequestError(
            "invalid_body", f"{name} and `service_tier` name different priorities.", "service_tier"
        )
    return by_header or by_tier or Priority.NORMAL


def _priority_of_tier(tier: Any) -> Priority | None:
    if tier is None:
        return None
    priority = _PRIORITY_OF_TIER.get(tier) if isinstance(tier, str) else None
    if priority is None:
        allowed = ", ".join(_PRIORITY_OF_TIER)
        raise RequestError(
            "invalid_body", f"`service_tier` must be one of {allowed}.", "service_tier"
        )
    return priority


def _timeout_s(exchange: Exchange) -> float | None:
    """Return x-penstock-timeout-s. Raises RequestError for one that is no duration."""
    name = "x-penstock-timeout-s"
    text = exchange.header(name)
    if text is None:
        return None
    seconds = number_in(text)
    if seconds is None or not 0 < seconds <= MAX_DEADLINE_S:
        raise RequestError("invalid_deadline", f"{name} must be seconds above 0.", param=name)
    return seconds


def _sdk_timeout_s(exchange: Exchange) -> float:
    """Return how long an OpenAI SDK says it will wait for this answer, else 600 s."""
    seconds = number_in(exchange.header("x-stainless-read-timeout") or "")
    if seconds is None or not 0 < seconds <= MAX_DEADLINE_S:
        return _HELD_TIMEOUT_S
    return seconds


def _on_disconnect(exchange: Exchange) -> OnDisconnect:
    """Return what becomes of the request when its caller hangs up."""
    name = "x-penstock-on-disconnect"
    text = exchange.header(name)
    if text in (None, "cancel", "finish"):
        return cast(OnDisconnect, text or "cancel")
    raise RequestError("invalid_body", f"{name} must be cancel or finish.", param=name)


def _restart(exchange: Exchange) -> bool:
    """Tell whether a stream may begin anew after a part of it was shown."""
    name = "x-penstock-restart"
    text = exchange.header(name)
    if text in (None, "true", "false"):
        return text == "true"
    raise RequestError("invalid_body", f"{name} must be true or false.", param=name)


def traceparent(exchange: Headed) -> str | None:
    """Return the W3C trace context, if it is well formed; anything else is dropped."""
    text = exchange.header("traceparent") or ""
    return text if _TRACEPARENT.fullmatch(text) else None
