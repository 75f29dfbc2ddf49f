"""With `models: auto`: what the backends list is what is served."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from schemas.config import BackendConfig, Config, RetryConfig
from schemas.routes import WILD
from workers.backends.port import CallFailed
from workers.plan import PoolPlan, plan_of
from workers.routing.targets import Target
from workers.rules import Rules
from workers.upstreams import Upstream

_log = structlog.get_logger("penstock.discovery")
REFRESH_S = 60.0
FIRST_REFRESH_S = 2.0

# A backend under other URLs is another place, of which nothing is known yet.
_Place = tuple[str, tuple[str, ...]]


class Discovery:
    """What the backends have listed so far; a model once listed stays, for its requests wait."""

    def __init__(self) -> None:
        self._listed: dict[_Place, dict[str, Target]] = {}

    async def refresh(self, config: Config, upstreams: Mapping[str, Upstream]) -> None:
        """Ask every backend for its models. One that does not answer is logged and left as it is.

        A name with more than one `*` cannot be a model here.
        """
        for name, backend in config.backends.items():
            models = await _list(upstreams[name], backend.urls)
            if models is None:
                continue
            known = self._listed.setdefault(_place(name, backend), {})
            known.update((model, Target(name, model)) for model in models if model.count(WILD) <= 1)

    def complete(self, config: Config) -> bool:
        """Tell whether every backend has answered at least once."""
        return all(_place(*item) in self._listed for item in config.backends.items())

    def plans(self, rules: Rules) -> dict[str, PoolPlan]:
        """Return the plan of each model that was listed."""
        config = rules.config
        targets: dict[str, list[Target]] = {}
        for item in config.backends.items():
            for model, target in self._listed.get(_place(*item), {}).items():
                targets.setdefault(model, []).append(target)
        retry = RetryConfig()
        return {model: plan_of(rules, model, found, retry) for model, found in targets.items()}


def _place(name: str, backend: BackendConfig) -> _Place:
    return (name, tuple(backend.urls))


async def _list(upstream: Upstream, urls: list[str]) -> list[str] | None:
    """Return what the first answering replica lists; None where none answers."""
    for url in urls:
        try:
            return await upstream.backend.models(url)
        except CallFailed as failed:
            error = failed.message
            _log.warning("backend does not list its models", backend=upstream.name, error=error)
    return None
