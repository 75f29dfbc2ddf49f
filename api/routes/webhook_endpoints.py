"""/v1/webhook_endpoints: the receivers that a tenant registers, in OpenAI's shape."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from api import query
from api.exchange import Exchange, Reply, json_reply
from api.reading import check_webhook_url
from api.settings import Settings
from broker.ports import Endpoint, Engine, Post, PostState, SigningSecret
from schemas.errors import RequestError
from schemas.webhook_events import TEST, sample
from schemas.webhooks import (
    EVENT_TYPES,
    GRACE_S,
    CreateEndpoint,
    RotateSecret,
    TestEndpoint,
    UpdateEndpoint,
    hint_of,
    secret_of,
)

MAX_ENDPOINTS = 200
# Of those that still sign beside the newest.
_MAX_OLD_SECRETS = 4
_SECRET_BYTES = 32
_ENDPOINT_ID = re.compile(r"we_[0-9a-f]{32}")
_LOOK_EVERY_S = 0.1
# The worker that sends a test may not look at once.
_TEST_MARGIN_S = 5.0

A = TypeVar("A", bound=BaseModel)


class WebhookEndpointRoutes:
    """The handlers of registered endpoints; each tenant sees its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    async def event_types(self, _exchange: Exchange) -> Reply:
        """GET /v1/webhook_event_types."""
        return json_reply({"object": "list", "data": EVENT_TYPES})

    async def list_endpoints(self, exchange: Exchange) -> Reply:
        """GET /v1/webhook_endpoints: newest first."""
        page = query.page(exchange, (), is_endpoint_id, ("limit", "after"))
        found: list[Endpoint] | None = (await self._own(exchange))[::-1]
        if page.after is not None:
            found = _behind(found or [], page.after)
        return page.reply(found, [_shown(each) for each in found or ()])

    async def create(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_endpoints: with its secret, which is told only now."""
        asked = await self._asked(exchange, CreateEndpoint)
        check_webhook_url(asked.url, self._settings.webhooks_allowed, "url")
        if len(await self._own(exchange)) >= MAX_ENDPOINTS:
            raise RequestError("too_many_webhook_endpoints")
        now = time.time()
        endpoint = Endpoint(
            id=f"we_{secrets.token_hex(16)}",
            tenant=exchange.caller.tenant,
            url=asked.url,
            event_types=tuple(asked.event_types),
            secrets=(_new_secret(),),
            created_at=now,
            updated_at=now,
            name=asked.name,
        )
        await self._engine.webhooks.save(endpoint, None)
        return json_reply(_with_secret(endpoint))

    async def read(self, exchange: Exchange) -> Reply:
        """GET /v1/webhook_endpoints/{id}."""
        return json_reply(_shown(await self._found(exchange)))

    async def update(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_endpoints/{id}: what is left out stays."""
        asked = await self._asked(exchange, UpdateEndpoint)
        if asked.url is not None:
            check_webhook_url(asked.url, self._settings.webhooks_allowed, "url")
        return json_reply(_shown(await self._change(exchange, lambda each: _updated(each, asked))))

    async def delete(self, exchange: Exchange) -> Reply:
        """DELETE /v1/webhook_endpoints/{id}: what is due to it is dropped."""
        endpoint_id = _id_in(exchange)
        if not await self._engine.webhooks.remove(exchange.caller.tenant, endpoint_id):
            raise RequestError("webhook_endpoint_not_found")
        gone = {"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True}
        return json_reply(gone)

    async def rotate_secret(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_endpoints/{id}/rotate_secret: the new secret is told only now."""
        asked = await self._asked(exchange, RotateSecret, may_be_empty=True)
        keep = asked.keep_old_secret_active_for_24_hours

        def rotated(endpoint: Endpoint) -> Endpoint:
            kept = _still_valid(endpoint.secrets, time.time()) if keep else ()
            return replace(endpoint, secrets=(_new_secret(), *kept))

        return json_reply(_with_secret(await self._change(exchange, rotated)))

    async def test(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_endpoints/{id}/test: what the receiver answers to a sample event."""
        asked = await self._asked(exchange, TestEndpoint)
        endpoint = await self._found(exchange)
        if endpoint.disabled_at is not None:
            raise RequestError("webhook_unreachable", "The webhook endpoint is disabled.")
        post = _test_post(endpoint, asked.event_type)
        # No lease: the next worker that looks for what is due sends it.
        await self._engine.webhooks.add([post], 0.0)
        made = (await self._settled(post)).tries[-1]
        if made.status_code is None:
            raise RequestError("webhook_unreachable", f"No answer: {made.message}.")
        return json_reply(
            {
                "object": "webhook_endpoint.test",
                "webhook_endpoint_id": endpoint.id,
                "event_type": asked.event_type,
                "status_code": made.status_code,
                "success": True,
            }
        )

    async def _settled(self, post: Post) -> Post:
        ends_at = time.monotonic() + self._settings.config.webhooks.timeout_s + _TEST_MARGIN_S
        while time.monotonic() < ends_at:
            found = await self._engine.webhooks.post(post.tenant, post.id)
            if found is not None and found.state is not PostState.PENDING and found.tries:
                return found
            await asyncio.sleep(_LOOK_EVERY_S)
        raise RequestError("webhook_unreachable", "Nobody sent the test: does a worker run?")

    async def _asked(self, exchange: Exchange, kind: type[A], *, may_be_empty: bool = False) -> A:
        if may_be_empty and exchange.header("content-length") in (None, "0"):
            return kind()
        return await exchange.asked(kind, self._settings.server.max_body_bytes)

    async def _own(self, exchange: Exchange) -> list[Endpoint]:
        return await own_endpoints(self._engine, exchange.caller.tenant)

    async def _found(self, exchange: Exchange) -> Endpoint:
        endpoint_id = _id_in(exchange)
        for endpoint in await self._own(exchange):
            if endpoint.id == endpoint_id:
                return endpoint
        raise RequestError("webhook_endpoint_not_found")

    async def _change(self, exchange: Exchange, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
        """Change the endpoint in the path, after whoever changes it meanwhile, and return it."""
        while True:
            endpoint = await self._found(exchange)
            changed = change(endpoint)
            if changed == endpoint:
                return endpoint
            changed = replace(changed, updated_at=time.time())
            if await self._engine.webhooks.save(changed, endpoint):
                return changed


async def own_endpoints(engine: Engine, tenant: str) -> list[Endpoint]:
    """Return the endpoints of a tenant, oldest first."""
    return [each for each in await engine.webhooks.endpoints() if each.tenant == tenant]


def is_endpoint_id(text: str) -> bool:
    """Tell whether `text` has the form of an endpoint's id."""
    return _ENDPOINT_ID.fullmatch(text) is not None


def _id_in(exchange: Exchange) -> str:
    endpoint_id = exchange.path_params["id"]
    if not is_endpoint_id(endpoint_id):
        raise RequestError("webhook_endpoint_not_found")
    return endpoint_id


def _behind(found: list[Endpoint], after: str) -> list[Endpoint] | None:
    ids = [each.id for each in found]
    return found[ids.index(after) + 1 :] if after in ids else None


def _new_secret() -> SigningSecret:
    return SigningSecret(secret_of(secrets.token_bytes(_SECRET_BYTES)))


def _still_valid(known: tuple[SigningSecret, ...], now: float) -> list[SigningSecret]:
    """Return the secrets that go on signing when a new one is made, each until its time."""
    until = now + GRACE_S
    valid = [each for each in known if each.until is None or each.until > now]
    return [replace(each, until=each.until or until) for each in valid[:_MAX_OLD_SECRETS]]


def _updated(endpoint: Endpoint, asked: UpdateEndpoint) -> Endpoint:
    return replace(
        endpoint,
        name=endpoint.name if asked.name is None else asked.name,
        url=endpoint.url if asked.url is None else asked.url,
        event_types=tuple(asked.event_types or endpoint.event_types),
        disabled_at=_disabled_at(endpoint, asked, time.time()),
    )


def _disabled_at(endpoint: Endpoint, asked: UpdateEndpoint, now: float) -> float | None:
    if asked.disabled is None:
        return endpoint.disabled_at
    return (endpoint.disabled_at or now) if asked.disabled else None


def _test_post(endpoint: Endpoint, event_type: str) -> Post:
    now, name = time.time(), secrets.token_hex(16)
    event = sample(event_type, f"evt_{name}", now)
    return Post(
        id=f"wh_{name}",
        tenant=endpoint.tenant,
        request_id=TEST,
        endpoint=endpoint.id,
        url=endpoint.url,
        event_type=event_type,
        event=event.content,
        created_at=now,
        due_at=now,
    )


def _shown(endpoint: Endpoint) -> dict[str, Any]:
    disabled_at = endpoint.disabled_at
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "created_at": int(endpoint.created_at),
        "updated_at": int(endpoint.updated_at),
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": endpoint.event_types,
        "signing_secret_hint": hint_of(endpoint.secrets[0].text),
        "disabled_at": None if disabled_at is None else int(disabled_at),
    }


def _with_secret(endpoint: Endpoint) -> dict[str, Any]:
    return {**_shown(endpoint), "signing_secret": endpoint.secrets[0].text}
