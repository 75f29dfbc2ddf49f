"""The examples of the OpenAPI document for webhooks. The tests send each request."""

from __future__ import annotations

from typing import Any

from api.openapi.examples import REQUEST_ID
from schemas.webhooks import EVENT_TYPES

ENDPOINT_ID = "we_4f8a1f0e6a9c4b3f8f1d2c3b4a596877"
DELIVERY_ID = "wh_0b1c2d3e4f5061728394a5b6c7d8e9f0"
_URL = "https://hooks.example/penstock"
_SECRET = "whsec_c2l4dGVlbiBieXRlcyBhcmUgdG9vIGZldywgdGhpcnR5LXR3bw=="  # noqa: S105  because it is an example

CREATE: dict[str, Any] = {
    "name": "orders",
    "url": _URL,
    "event_types": ["request.completed", "request.failed"],
}
UPDATE: dict[str, Any] = {"event_types": ["request.completed"]}
ROTATE: dict[str, Any] = {"keep_old_secret_active_for_24_hours": True}
TEST: dict[str, Any] = {"event_type": "request.completed"}
REDELIVER: dict[str, Any] = {"status": "failed", "created_after": 1764153600}

ENDPOINT: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "object": "webhook_endpoint",
    "created_at": 1764153600,
    "updated_at": 1764153600,
    "name": "orders",
    "url": _URL,
    "event_types": CREATE["event_types"],
    "signing_secret_hint": "whsec_…dw==",
    "disabled_at": None,
}
CREATED: dict[str, Any] = {**ENDPOINT, "signing_secret": _SECRET}
ENDPOINTS: dict[str, Any] = {
    "object": "list",
    "data": [ENDPOINT],
    "first_id": ENDPOINT_ID,
    "last_id": ENDPOINT_ID,
    "has_more": False,
}
DELETED: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "object": "webhook_endpoint.deleted",
    "deleted": True,
}
TESTED: dict[str, Any] = {
    "object": "webhook_endpoint.test",
    "webhook_endpoint_id": ENDPOINT_ID,
    "event_type": "request.completed",
    "status_code": 200,
    "success": True,
}
TYPES: dict[str, Any] = {"object": "list", "data": list(EVENT_TYPES)}
DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "object": "webhook_delivery",
    "status": "pending",
    "event_type": "request.completed",
    "request_id": REQUEST_ID,
    "webhook_endpoint_id": ENDPOINT_ID,
    "url": _URL,
    "created_at": 1764153604.61,
    "next_attempt_at": 1764153610.12,
    "attempts": 1,
    "history": [
        {
            "at": 1764153604.618,
            "took_s": 0.041,
            "status_code": 503,
            "message": "it answered 503: try later",
        }
    ],
}
DELIVERIES: dict[str, Any] = {
    "object": "list",
    "data": [DELIVERY],
    "first_id": DELIVERY_ID,
    "last_id": DELIVERY_ID,
    "has_more": False,
}
REDELIVERED: dict[str, Any] = {
    "object": "webhook_deliveries.redelivered",
    "redelivered": 1,
    "last_id": DELIVERY_ID,
    "has_more": False,
}
SECRET: dict[str, Any] = {"object": "webhook_secret", "signing_secret": _SECRET}
