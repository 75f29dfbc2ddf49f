"""Endpoints and attempts of webhooks as bytes, the same in both engines, and new secrets."""

from __future__ import annotations

import base64
import secrets
from dataclasses import astuple
from typing import Any

import msgpack

from broker.ports.webhooks import Endpoint, PostAttempt, SigningSecret

_SECRET_BYTES = 32


def new_secret() -> str:
    """Return a secret that nobody knows yet."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def encode_endpoint(endpoint: Endpoint) -> bytes:
    """Return the bytes of an endpoint; scripts/hook_save.lua reads its `updated_at`."""
    packed: bytes = msgpack.packb(
        {
            "id": endpoint.id,
            "tenant": endpoint.tenant,
            "url": endpoint.url,
            "event_types": endpoint.event_types,
            "secrets": [(each.text, each.until) for each in endpoint.secrets],
            "created_at": endpoint.created_at,
            "updated_at": endpoint.updated_at,
            "name": endpoint.name,
            "disabled_at": endpoint.disabled_at,
        }
    )
    return packed


def decode_endpoint(data: bytes) -> Endpoint:
    """Return the endpoint in `data`; what a later version has added is left out."""
    kept: dict[str, Any] = msgpack.unpackb(data)
    return Endpoint(
        id=kept["id"],
        tenant=kept["tenant"],
        url=kept["url"],
        event_types=tuple(kept["event_types"]),
        secrets=tuple(SigningSecret(text, until) for text, until in kept["secrets"]),
        created_at=kept["created_at"],
        updated_at=kept["updated_at"],
        name=kept["name"],
        disabled_at=kept["disabled_at"],
    )


def by_age(endpoints: list[Endpoint]) -> list[Endpoint]:
    """Return endpoints oldest first."""
    return sorted(endpoints, key=lambda each: (each.created_at, each.id))


def encode_try(attempt: PostAttempt) -> bytes:
    """Return the bytes of an attempt: its fields in order; later versions add theirs at the end."""
    packed: bytes = msgpack.packb(astuple(attempt))
    return packed


def decode_try(data: bytes) -> PostAttempt:
    """Return the attempt in `data`."""
    at, took_s, status_code, message, *_ = msgpack.unpackb(data)
    return PostAttempt(at, took_s, status_code, message)
