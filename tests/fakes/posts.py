"""Webhook endpoints and deliveries with defaults for all that a test does not care about."""

from __future__ import annotations

import secrets
import time
from typing import Any

from broker.ports import Endpoint, Post, PostAttempt, SigningSecret


def make_endpoint(**changes: Any) -> Endpoint:
    """Return an endpoint nobody has saved yet."""
    now = time.time()
    fields: dict[str, Any] = {
        "id": f"we_{secrets.token_hex(8)}",
        "tenant": "acme",
        "url": "https://hooks.example/in",
        "event_types": ("request.completed",),
        "secrets": (SigningSecret("whsec_new"), SigningSecret("whsec_old", now + 60)),
        "created_at": now,
        "updated_at": now,
    }
    return Endpoint(**fields | changes)


def make_post(**changes: Any) -> Post:
    """Return a delivery that is due."""
    now = time.time()
    fields: dict[str, Any] = {
        "id": f"wh_{secrets.token_hex(8)}",
        "tenant": "acme",
        "request_id": "req_1",
        "endpoint": "we_1",
        "url": "https://hooks.example/in",
        "event_type": "request.completed",
        "event": b'{"id":"evt_1"}',
        "created_at": now,
        "due_at": now - 1,
    }
    return Post(**fields | changes)


def a_try(**changes: Any) -> PostAttempt:
    """Return an attempt that was answered with 500."""
    fields: dict[str, Any] = {
        "at": time.time(),
        "took_s": 0.25,
        "status_code": 500,
        "message": "answered 500",
    }
    return PostAttempt(**fields | changes)
