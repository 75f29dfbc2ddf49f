"""What the backends serve: the configured models, or with `models: auto` whatever they list."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from schemas.config import Config, RetryConfig
from workers.backends.port import CallFailed
from workers.executor import Upstream
from workers.pool import PoolPlan
from workers.routing.targets import Target

_log = structlog.get_logger("penstock.discovery")
REFRESH_S = 60.0
FIRST_REFRESH_S = 2.0


def configured(config: Config) -> dict[str, PoolPlan]:
    """Return the plan of each model in the file; none with `models: auto`."""
    if config.models == "auto":
        return {}
    return {
        name: _plan(
            config,
            name,
            [Target(t.backend, t.model or name, t.weight) for t in model.targets],
            model.retry,
        )
        for name, model in config.models.items()
    }


async def discovered(config: Config, upstreams: Mapping[str, Upstream]) -> dict[str, PoolPlan]:
    """Ask every backend for its models. A backend that does not answer is logged and left out."""
    targets: dict[str, list[Target]] = {}
    for name, upstream in upstreams.items():
        for model in await _listed(name, upstream, config.backends[name].urls):
            targets.setdefault(model, []).append(Target(name, model))
    return {model: _plan(config, model, found, RetryConfig()) for model, found in targets.items()}


async def _listed(name: str, upstream: Upstream, urls: list[str]) -> list[str]:
    """Return what the first answering replica lists."""
    for url in urls:
        try:
            return await upstream.backend.models(url)
        except CallFailed as failed:
            _log.warning("backend does not list its models", backend=name, error=failed.message)
    return []


def _plan(config: Config, model: str, targets: list[Target], retry: RetryConfig) -> PoolPlan:
    slots = {target.backend: config.backends[target.backend].concurrency for target in targets}
    return PoolPlan(model, tuple(targets), slots, retry.max_attempts)
