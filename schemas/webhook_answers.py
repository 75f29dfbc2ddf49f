"""What the routes of webhooks answer: endpoints in OpenAI's shape, deliveries, secrets."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from schemas.webhooks import EventType


class WebhookEndpoint(BaseModel):
    """A registered receiver; one with `disabled_at` is told nothing."""

    id: str
    object: Literal["webhook_endpoint"]
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: list[EventType]
    signing_secret_hint: str
    disabled_at: int | None


class WebhookEndpointWithSecret(WebhookEndpoint):
    """As it is answered once, when its secret is made."""

    signing_secret: str


class WebhookEndpointList(BaseModel):
    """A page of endpoints, newest first."""

    object: Literal["list"]
    data: list[WebhookEndpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookEndpointDeleted(BaseModel):
    """An endpoint that is gone; what was due to it is dropped."""

    id: str
    object: Literal["webhook_endpoint.deleted"]
    deleted: Literal[True]


class WebhookEndpointTested(BaseModel):
    """What the receiver of a sample event has answered."""

    object: Literal["webhook_endpoint.test"]
    webhook_endpoint_id: str
    event_type: EventType
    status_code: int
    success: Literal[True]


class WebhookEventTypeList(BaseModel):
    """Every type of event there is."""

    object: Literal["list"]
    data: list[EventType]


class WebhookAttempt(BaseModel):
    """One attempt to deliver; `message` says what went wrong."""

    at: float
    took_s: float
    status_code: int | None
    message: str | None


class WebhookDelivery(BaseModel):
    """An event on its way to one receiver; `id` is its `webhook-id`.

    `attempts` counts those since it was made or last redelivered; `history` are the newest of all.
    """

    id: str
    object: Literal["webhook_delivery"]
    status: Literal["pending", "delivered", "failed", "dropped"]
    event_type: EventType
    request_id: str
    webhook_endpoint_id: str | None
    url: str
    created_at: float
    next_attempt_at: float | None
    attempts: int
    history: list[WebhookAttempt]


class WebhookDeliveryList(BaseModel):
    """A page of deliveries, newest first."""

    object: Literal["list"]
    data: list[WebhookDelivery]
    first_id: str | None
    last_id: str | None
    has_more: bool


class WebhookDeliveriesRedelivered(BaseModel):
    """How many are sent again; with `has_more` another call after `last_id` goes on."""

    object: Literal["webhook_deliveries.redelivered"]
    redelivered: int
    last_id: str | None
    has_more: bool


class WebhookSecret(BaseModel):
    """What signs for the URLs that single requests name."""

    object: Literal["webhook_secret"]
    signing_secret: str
