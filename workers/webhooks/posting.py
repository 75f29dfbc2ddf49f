"""One attempt to deliver a post: signed, sent, and what became of it told."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace

import structlog

from broker.persistence import persistently
from broker.ports import Endpoint, Post, PostAttempt, PostState, SigningSecret, Webhooks
from broker.telemetry import WEBHOOK_ATTEMPTS, WEBHOOK_PUSH_SECONDS
from schemas.destinations import AllowList
from schemas.errors import EngineError
from schemas.webhook_config import WebhooksConfig
from workers.webhooks.judging import Verdict, judge
from workers.webhooks.registry import Registry
from workers.webhooks.sender import Answer, Sender
from workers.webhooks.signing import signed_headers

_log = structlog.get_logger("penstock.webhooks")
_UNWANTED = "its endpoint is disabled or gone"


class Posting:
    """Makes attempts by the configuration as it is when each begins."""

    def __init__(
        self, webhooks: Webhooks, registry: Registry, sender: Sender, config: WebhooksConfig
    ) -> None:
        self._webhooks = webhooks
        self._registry = registry
        self._sender = sender
        self.apply(config)

    def apply(self, config: WebhooksConfig) -> None:
        """Take a new configuration."""
        self.config = config
        self._allowed = AllowList(config.allow)

    async def attempt(self, post: Post) -> Answer | None:
        """Try once and note it; None where the receiver wants nothing any more.

        Raises EngineError where it cannot be known how to sign.
        """
        endpoint: Endpoint | None = None
        url = post.url
        if post.endpoint is not None:
            endpoint = await self._registry.find(post.endpoint)
            if endpoint is None or endpoint.disabled_at is not None:
                await self._tell(post, PostAttempt(time.time(), 0.0, None, _UNWANTED), _DROPPED)
                return None
            url = endpoint.url
        began_at = time.time()
        headers = signed_headers(post.id, post.event, await self._secrets(post, endpoint), began_at)
        answer = await self._sender.send(
            url, post.event, headers, self._allowed, self.config.timeout_s
        )
        now = time.time()
        verdict = judge(post, answer, now, self.config.retry_s, random.random())
        made = PostAttempt(began_at, now - began_at, answer.status_code, answer.message)
        await self._tell(post, made, verdict)
        if verdict.gone and endpoint is not None:
            await self._disable(endpoint, now)
        return answer

    async def _secrets(self, post: Post, endpoint: Endpoint | None) -> Sequence[SigningSecret]:
        if endpoint is not None:
            return endpoint.secrets
        secret = post.secret or await self._webhooks.default_secret(post.tenant)
        return (SigningSecret(secret),)

    async def _tell(self, post: Post, made: PostAttempt, verdict: Verdict) -> None:
        """Note the attempt; one that cannot be noted is made again, by its id the same."""
        await persistently(
            lambda: self._webhooks.told(post.id, made, verdict.state, verdict.due_at),
            "note a webhook's attempt",
        )
        WEBHOOK_ATTEMPTS.labels(_outcome(verdict)).inc()
        if verdict.state is PostState.DELIVERED:
            WEBHOOK_PUSH_SECONDS.observe(max(0.0, time.time() - post.created_at))

    async def _disable(self, endpoint: Endpoint, now: float) -> None:
        _log.warning("answered 410 and is disabled", endpoint=endpoint.id, tenant=endpoint.tenant)
        try:
            # One that was changed meanwhile may lead elsewhere now.
            await self._webhooks.save(replace(endpoint, disabled_at=now, updated_at=now), endpoint)
        except EngineError as error:
            _log.warning("could not be disabled", endpoint=endpoint.id, error=str(error))


_DROPPED = Verdict(PostState.DROPPED)


def _outcome(verdict: Verdict) -> str:
    return "retried" if verdict.state is PostState.PENDING else verdict.state.value
