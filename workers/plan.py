"""What a pool serves, as the configuration says it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

from schemas.config import Config, RetryConfig
from workers.routing.targets import Target
from workers.rules import Rules

# A tenant that has more than this waiting is a flood (PROTOCOL 2), so a window shows every tenant.
_BEYOND_SLOTS = 160


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """What a pool serves: a model, its targets, each backend's slots, and by which rules."""

    model: str
    targets: tuple[Target, ...]
    slots: dict[str, int]
    max_attempts: int
    rules: Rules = field(default_factory=lambda: Rules(Config()))

    @property
    def window(self) -> int:
        """How many deliveries of a lane a pool holds, running and not: see ADR 1."""
        return sum(self.slots.values()) + _BEYOND_SLOTS

    def without(self, backends: Collection[str]) -> PoolPlan:
        """Return the plan with other targets than those, or itself where there are none."""
        left = tuple(target for target in self.targets if target.backend not in backends)
        return replace(self, targets=left) if any(target.weight for target in left) else self


def configured(rules: Rules) -> dict[str, PoolPlan]:
    """Return the plan of each model in the file; none with `models: auto`."""
    config = rules.config
    if config.models == "auto":
        return {}
    return {
        name: plan_of(
            rules,
            name,
            [Target(t.backend, t.model or name, t.weight) for t in model.targets],
            model.retry,
        )
        for name, model in config.models.items()
    }


def still_possible(plan: PoolPlan, rules: Rules) -> PoolPlan | None:
    """Return `plan` with what the configuration leaves it; None if it leaves no target."""
    config = rules.config
    targets = tuple(target for target in plan.targets if target.backend in config.backends)
    if not any(target.weight > 0 for target in targets):
        return None
    return replace(plan, targets=targets, slots=_slots(config, targets), rules=rules)


def plan_of(rules: Rules, model: str, targets: Sequence[Target], retry: RetryConfig) -> PoolPlan:
    """Return the plan of `model` on configured backends."""
    return PoolPlan(model, tuple(targets), _slots(rules.config, targets), retry.max_attempts, rules)


def _slots(config: Config, targets: Sequence[Target]) -> dict[str, int]:
    return {target.backend: config.backends[target.backend].slots for target in targets}
