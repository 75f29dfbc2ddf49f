"""Seeded arrivals: what tenants send, and what the backend will make of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from benchmarks.simulation.requests import Request
from schemas.priority import Priority

_TOKENS = 100


@dataclass(frozen=True, slots=True)
class Calls:
    """How long calls last: exponentially distributed (cv 1) around `mean_s`, or all alike.

    A mean call has 100 tokens of output, a longer one more.
    """

    mean_s: float = 1.0
    alike: bool = False

    def request(self, random: Random, priority: Priority, tenant: str, now: float) -> Request:
        """Return one request, accepted now."""
        service_s = self.mean_s if self.alike else random.expovariate(1 / self.mean_s)
        tokens = round(_TOKENS * service_s / self.mean_s)
        return Request(priority, tenant, now, service_s, _TOKENS, tokens)


def steady(
    random: Random,
    calls: Calls,
    priority: Priority,
    tenant: str,
    *,
    rate: float,
    lasts_s: float,
    begins: float = 0.0,
) -> Iterator[Request]:
    """Yield what a tenant sends: a Poisson process of `rate` a second."""
    now = begins
    while (now := now + random.expovariate(rate)) < begins + lasts_s:
        yield calls.request(random, priority, tenant, now)


def now_and_then(
    random: Random, calls: Calls, priority: Priority, tenant: str, *, every_s: float, lasts_s: float
) -> Iterator[Request]:
    """Yield what a person sends: one after the other, between a half and one and a half of
    `every_s` apart."""
    now = random.uniform(0, every_s)
    while now < lasts_s:
        yield calls.request(random, priority, tenant, now)
        now += every_s * random.uniform(0.5, 1.5)


def flood(
    random: Random,
    calls: Calls,
    priority: Priority,
    tenant: str,
    *,
    requests: int,
    within_s: float = 10.0,
) -> Iterator[Request]:
    """Yield so many requests of a tenant at random instants `within_s`."""
    for now in sorted(random.uniform(0, within_s) for _ in range(requests)):
        yield calls.request(random, priority, tenant, now)
