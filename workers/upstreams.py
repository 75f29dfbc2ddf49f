"""The backends of the configuration, ready to be called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.scheduling.retry_budget import RetryBudget
from schemas.config import BackendConfig
from workers.backends.openai import OpenAIBackend, Session, open_session
from workers.backends.port import Backend
from workers.backends.responses.backend import RespondingBackend
from workers.routing.replicas import Replicas


@dataclass(frozen=True, slots=True)
class Upstream:
    """A backend ready to be called; a metered one has an `rpm` or a `tpm`."""

    name: str
    backend: Backend
    replicas: Replicas
    budget: RetryBudget
    timeout_s: float
    metered: bool = False


class Upstreams(Mapping[str, Upstream]):
    """Every backend by name, as it is now; one that was removed stays for what has begun there."""

    def __init__(self) -> None:
        self._session: Session | None = None
        self._all: dict[str, Upstream] = {}

    def apply(self, backends: Mapping[str, BackendConfig]) -> None:
        """Take over URLs, keys and timeouts for every call that begins from now on."""
        session = self._session = self._session or open_session()
        for name, config in backends.items():
            known = self._all.get(name)
            replicas = known.replicas if known is not None else Replicas(name)
            replicas.configure(config.urls, config.concurrency)
            self._all[name] = Upstream(
                name,
                RespondingBackend(OpenAIBackend(config, session), native=config.native_responses),
                replicas,
                known.budget if known is not None else RetryBudget(),
                config.timeout_s,
                metered=config.rpm is not None or config.tpm is not None,
            )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def __getitem__(self, name: str) -> Upstream:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)
