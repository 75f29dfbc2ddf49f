"""What clients say of webhooks: the field of a request, registered endpoints, signing secrets."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from schemas.filters import Filters
from schemas.lifecycle import TERMINAL

SECRET_PREFIX = "whsec_"  # noqa: S105  because it is no secret
SECRET_BYTES = range(24, 65)
GRACE_S = 86_400.0

BATCH_EVENTS = ("batch.cancelled", "batch.completed", "batch.expired", "batch.failed")
REQUEST_EVENTS = tuple(sorted(f"request.{status.value}" for status in TERMINAL))
RESPONSE_EVENTS = (
    "response.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
)
EVENT_TYPES = (*BATCH_EVENTS, *REQUEST_EVENTS, *RESPONSE_EVENTS)

EventType = Literal[
    "batch.cancelled",
    "batch.completed",
    "batch.expired",
    "batch.failed",
    "request.cancelled",
    "request.completed",
    "request.expired",
    "request.failed",
    "response.cancelled",
    "response.completed",
    "response.failed",
    "response.incomplete",
]
_IN_BASE64 = {"minLength": 38, "maxLength": 94, "pattern": "^whsec_[A-Za-z0-9+/]+={0,2}$"}


def check_secret(text: str) -> str:
    """Return a signing secret. Raises ValueError for one that is not `whsec_` and 24-64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError("must be `whsec_` and the base64 of 24 to 64 random bytes")
    return text


def secret_of(key: bytes) -> str:
    """Return the secret that `key`, 24 to 64 random bytes, is written as."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def hint_of(secret: str) -> str:
    """Return what may be shown of a secret to tell it apart."""
    return f"{SECRET_PREFIX}…{secret[-4:]}"


def _without_repeats(types: list[EventType]) -> list[EventType]:
    return list(dict.fromkeys(types))


Secret = Annotated[str, Field(json_schema_extra=_IN_BASE64), AfterValidator(check_secret)]
EventTypes = Annotated[
    list[EventType], Field(min_length=1, max_length=50), AfterValidator(_without_repeats)
]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Url = Annotated[str, Field(max_length=2_000)]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RequestWebhook(_Asked):
    """Where the end of one request or of one batch is told.

    Without a secret the tenant's own one signs; without types it is told every `request.*` event,
    or every `batch.*` one.
    """

    url: Url
    secret: Secret | None = Field(None, repr=False)
    event_types: EventTypes | None = None


def _with_url(given: object) -> object:
    return {"url": given} if isinstance(given, str) else given


# Given as its URL alone, or as an object.
AskedWebhook = Annotated[
    RequestWebhook, BeforeValidator(_with_url, json_schema_input_type=Url | RequestWebhook)
]


class CreateEndpoint(_Asked):
    """The body of `POST /v1/webhook_endpoints`."""

    name: Name
    url: Url
    event_types: EventTypes


class UpdateEndpoint(_Asked):
    """The body of `POST /v1/webhook_endpoints/{id}`; what is left out stays."""

    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None
    disabled: bool | None = Field(
        None, description="A receiver that answered 410 is disabled; false enables it again."
    )


class RotateSecret(_Asked):
    """The body of `POST /v1/webhook_endpoints/{id}/rotate_secret`."""

    keep_old_secret_active_for_24_hours: bool = False


class TestEndpoint(_Asked):
    """The body of `POST /v1/webhook_endpoints/{id}/test`."""

    # pytest would take the class for tests.
    __test__ = False

    event_type: EventType


class RedeliverRange(_Asked, Filters):
    """The body of `POST /v1/webhook_deliveries/redeliver`: which ones are sent again.

    Instants are Unix seconds, exclusive.
    """

    webhook_endpoint_id: str | None = Field(None, max_length=100)
    request_id: str | None = Field(None, max_length=100)
    status: Literal["failed", "delivered", "dropped"] | None = Field(
        None, description="How they ended; without it those that failed or were dropped."
    )
    created_after: float | None = Field(None, ge=0)
    created_before: float | None = Field(None, ge=0)
    after: str | None = Field(
        None, max_length=100, description="Go on behind this one: the `last_id` of the call before."
    )


def write_webhook(webhook: RequestWebhook) -> str:
    """Return the text that an envelope holds."""
    return webhook.model_dump_json(exclude_none=True)


def read_webhook(text: str) -> RequestWebhook:
    """Return what `write_webhook` has written."""
    members: Any = orjson.loads(text)
    return RequestWebhook.model_construct(
        url=members["url"],
        secret=members.get("secret"),
        event_types=members.get("event_types"),
    )
