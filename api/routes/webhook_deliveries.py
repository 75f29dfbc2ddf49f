"""/v1/webhook_deliveries: what was sent where, what came of it, and sending it again."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from api import query
from api.exchange import Exchange, Reply, json_reply
from api.routes.webhook_endpoints import own_endpoints
from api.settings import Settings
from broker.ports import Engine, Post, PostSelection, PostState
from schemas.errors import RequestError
from schemas.webhooks import RedeliverRange

_DELIVERY_ID = re.compile(r"wh_[0-9a-f]{32}")
_PAGING = ("limit", "after")
_FILTERS = ("status", "request_id", "created_after", "created_before")
_OF_ALL = ("webhook_endpoint_id", *_FILTERS)
_BATCH = 200
_MOST = 1_000
_LONGEST_S = 5.0
# What a range sends again unless it names a status.
_LOST = frozenset({PostState.FAILED, PostState.DROPPED})


class WebhookDeliveryRoutes:
    """The handlers of deliveries and of the secret of single requests; each tenant sees its own."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    async def list_all(self, exchange: Exchange) -> Reply:
        """GET /v1/webhook_deliveries: newest first."""
        page = query.page(exchange, _OF_ALL, _is_delivery_id, _PAGING)
        return await self._page(exchange, page, page.asked.get("webhook_endpoint_id"))

    async def list_of_endpoint(self, exchange: Exchange) -> Reply:
        """GET /v1/webhook_endpoints/{id}/deliveries: newest first."""
        page = query.page(exchange, _FILTERS, _is_delivery_id, _PAGING)
        endpoint_id = exchange.path_params["id"]
        own = await own_endpoints(self._engine, exchange.caller.tenant)
        if endpoint_id not in {each.id for each in own}:
            raise RequestError("webhook_endpoint_not_found")
        return await self._page(exchange, page, endpoint_id)

    async def redeliver(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_deliveries/{id}/redeliver: sent again soon, whatever became of it."""
        tenant, post_id = exchange.caller.tenant, exchange.path_params["id"]
        webhooks, found = self._engine.webhooks, None
        if _is_delivery_id(post_id) and await webhooks.redeliver(tenant, [post_id]):
            found = await webhooks.post(tenant, post_id)
        if found is None:
            raise RequestError("webhook_delivery_not_found")
        return json_reply(_shown(found))

    async def redeliver_range(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_deliveries/redeliver: those that fit; at most 1,000 in each call."""
        asked = await self._asked(exchange)
        selection, after = _selection(asked, exchange.caller.tenant), asked.after
        sent, has_more, ends_at = 0, True, time.monotonic() + _LONGEST_S
        webhooks = self._engine.webhooks
        while has_more and sent < _MOST and time.monotonic() < ends_at:
            found = await webhooks.posts(selection, after, _BATCH + 1)
            if found is None:
                raise RequestError("invalid_body", "`after` names nothing of yours.", "after")
            batch, has_more = found[:_BATCH], len(found) > _BATCH
            after = batch[-1].id if batch else after
            ids = [each.id for each in batch if asked.status or each.state in _LOST]
            if ids:
                sent += await webhooks.redeliver(exchange.caller.tenant, ids)
        told = {"redelivered": sent, "last_id": after, "has_more": has_more}
        return json_reply({"object": "webhook_deliveries.redelivered", **told})

    async def secret(self, exchange: Exchange) -> Reply:
        """GET /v1/webhook_secret: what signs for the URLs of single requests."""
        return _secret(await self._engine.webhooks.default_secret(exchange.caller.tenant))

    async def rotate_secret(self, exchange: Exchange) -> Reply:
        """POST /v1/webhook_secret/rotate: the one before signs nothing more."""
        return _secret(await self._engine.webhooks.rotate_default_secret(exchange.caller.tenant))

    async def _page(self, exchange: Exchange, page: query.Page, endpoint: str | None) -> Reply:
        selection = PostSelection(
            tenant=exchange.caller.tenant,
            endpoint=endpoint,
            request_id=page.asked.get("request_id"),
            state=_state(page.asked.get("status")),
            created_after=query.instant("created_after", page.asked),
            created_before=query.instant("created_before", page.asked),
        )
        found = await self._engine.webhooks.posts(selection, page.after, page.limit + 1)
        return page.reply(found, [_shown(each) for each in found or ()])

    async def _asked(self, exchange: Exchange) -> RedeliverRange:
        asked = await exchange.asked(RedeliverRange, self._settings.server.max_body_bytes)
        if asked.after is not None and not _is_delivery_id(asked.after):
            raise RequestError("invalid_body", "`after` must be an id of the list.", "after")
        asked.check_any()
        return asked


def _selection(asked: RedeliverRange, tenant: str) -> PostSelection:
    return PostSelection(
        tenant=tenant,
        endpoint=asked.webhook_endpoint_id,
        request_id=asked.request_id,
        state=None if asked.status is None else PostState(asked.status),
        created_after=asked.created_after,
        created_before=asked.created_before,
    )


def _state(text: str | None) -> PostState | None:
    try:
        return None if text is None else PostState(text)
    except ValueError:
        known = ", ".join(each.value for each in PostState)
        raise RequestError("invalid_body", f"`status` must be one of {known}.", "status") from None


def _is_delivery_id(text: str) -> bool:
    return _DELIVERY_ID.fullmatch(text) is not None


def _secret(text: str) -> Reply:
    return json_reply({"object": "webhook_secret", "signing_secret": text})


def _shown(post: Post) -> dict[str, Any]:
    pending = post.state is PostState.PENDING
    return {
        "id": post.id,
        "object": "webhook_delivery",
        "status": post.state.value,
        "event_type": post.event_type,
        "request_id": post.request_id,
        "webhook_endpoint_id": post.endpoint,
        "url": post.url,
        "created_at": round(post.created_at, 3),
        "next_attempt_at": round(post.due_at, 3) if pending else None,
        "attempts": post.tried,
        "history": _history(post),
    }


def _history(post: Post) -> Sequence[dict[str, Any]]:
    return [
        {**asdict(each), "at": round(each.at, 3), "took_s": round(each.took_s, 3)}
        for each in post.tries
    ]
