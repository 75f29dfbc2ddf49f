"""What a request must ask for before it starts, by the limits of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.ports import Cap, Rate, Want
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.limits import Limits, Rates
from schemas.priority import RANK, Priority

_Limit = Callable[[float], Cap | Rate]
# So that 0.29 of 100 is 29.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class FoundOut:
    """How many calls the process `owner` has found out that it may have open on a backend now."""

    owner: str
    slots: int


@dataclass(frozen=True, slots=True)
class _Template:
    """The limits of one key, tenant, model and backend, but for what a request costs in tokens."""

    slot: Cap
    own: tuple[_Limit, ...]
    shared: tuple[_Limit, ...]


class Asking:
    """Turns requests into wants, by one configuration; a reload makes a new one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._templates: dict[tuple[str, str | None, str, str], _Template] = {}

    def want(
        self,
        envelope: Envelope,
        backend: str,
        cost: float,
        due: float,
        found_out: FoundOut | None = None,
    ) -> Want:
        """Return what `envelope` needs to start on `backend`; `cost` is an estimate in tokens.

        `found_out` is given where the backend's concurrency is adaptive.
        """
        at = (envelope.tenant, envelope.key_id, envelope.model, backend)
        template = self._templates.get(at)
        if template is None:
            template = self._templates[at] = self._template(*at)
        return Want(
            envelope.id,
            backend,
            envelope.model,
            RANK[envelope.priority],
            due,
            envelope.deadline,
            template.slot,
            tuple(limit(cost) for limit in template.own) if template.own else (),
            tuple(limit(cost) for limit in template.shared) if template.shared else (),
            beside_live=(
                self._beside_live(backend, found_out)
                if envelope.priority is Priority.BATCH
                else None
            ),
        )

    def own(self, tenant: str, key_id: str | None, cost: float) -> list[Cap | Rate]:
        """Return the limits of a key and its tenant, for a request of this cost in tokens."""
        return [limit(cost) for limit in self._own(tenant, key_id)]

    def _beside_live(self, backend: str, found_out: FoundOut | None) -> Cap | None:
        """Return how much `batch` may hold there beside live requests; None for everything."""
        part = self._config.scheduling.batch.most_slots
        if part == 1:
            return None
        key, slots = f"backend:{backend}:batch", self._config.backends[backend].slots
        if found_out is not None:
            # Each process has found out for itself what it may open: it leaves a part of that.
            key, slots = f"{key}:{found_out.owner}", found_out.slots
        what = f"the part of backend {backend} that batch requests may hold beside others"
        return Cap(key, max(1, int(part * slots + _ROUNDING)), what)

    def _template(self, tenant: str, key_id: str | None, model: str, backend: str) -> _Template:
        config = self._config
        settings = config.backends[backend]
        shared: list[_Limit] = []
        if config.models != "auto" and model in config.models:
            shared += _limits(config.models[model], f"model:{model}", f"model {model}")
        shared += _rates(settings, f"backend:{backend}", f"backend {backend}")
        return _Template(
            Cap(backend, settings.slots, f"a slot of backend {backend}"),
            tuple(self._own(tenant, key_id)),
            tuple(shared),
        )

    def _own(self, tenant: str, key_id: str | None) -> list[_Limit]:
        settings = self._config.tenants.get(tenant)
        if settings is None:
            return []
        limits: list[_Limit] = []
        for key in settings.keys:
            if key.name == key_id:
                name = f"key {key.name} of tenant {tenant}"
                limits += _limits(key, f"key:{tenant}/{key.name}", name)
        return limits + _limits(settings, f"tenant:{tenant}", f"tenant {tenant}")


def _limits(limits: Limits, key: str, name: str) -> list[_Limit]:
    found = _rates(limits, key, name)
    if limits.max_parallel_requests is not None:
        what = f"max_parallel_requests of {name}"
        cap = Cap(f"{key}:parallel", limits.max_parallel_requests, what)
        found.append(lambda _: cap)
    return found


def _rates(rates: Rates, key: str, name: str) -> list[_Limit]:
    found: list[_Limit] = []
    rpm, tpm = rates.rpm, rates.tpm
    if rpm is not None:
        requests = Rate(f"{key}:rpm", rpm, 1, f"rpm of {name}", "requests")
        found.append(lambda _: requests)
    if tpm is not None:
        found.append(lambda cost: Rate(f"{key}:tpm", tpm, cost, f"tpm of {name}", "tokens"))
    return found
