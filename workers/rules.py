"""Who goes next and how much may run, as the configuration says it for every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from broker.scheduling.asking import Asking
from broker.scheduling.shares import ClassShare, shares_of
from schemas.config import Config
from schemas.priority import Priority


@dataclass(frozen=True, eq=False)
class Rules:
    """Shares of priorities, weights of tenants, limits: one object for all pools of a process.

    Compared as that: thousands of plans are, and a configuration is as long as they are many.
    """

    config: Config

    @cached_property
    def shares(self) -> Mapping[Priority, ClassShare]:
        """What each priority below `high` is owed."""
        return shares_of(self.config.scheduling)

    @cached_property
    def asking(self) -> Asking:
        """What a request needs to start."""
        return Asking(self.config)

    def weight_of(self, tenant: str) -> float:
        """Return the weight of a tenant's turns; 1 for one that is not configured."""
        settings = self.config.tenants.get(tenant)
        return 1.0 if settings is None else settings.weight
