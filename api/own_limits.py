"""When the limits of a caller let a request start: for its deadline at the door and its outlook."""

from __future__ import annotations

import time
from dataclasses import dataclass

from broker.ports import Cap, Limits, Rate
from broker.scheduling.asking import Asking
from schemas.config import Config
from schemas.priority import RANK, Priority

_REFRESH_S = 0.1
_MOST_KNOWN = 10_000
_MINUTE_S = 60.0
# A request of unknown size, in tokens; what is asked is when, not how much.
_SOME_TOKENS = 1.0


@dataclass(frozen=True, slots=True)
class LimitTurn:
    """Seconds until a limit lets one more request start, and which limit it is."""

    wait_s: float
    what: str


@dataclass(slots=True)
class _Peeked:
    at: float
    start: float


class OwnLimits:
    """The limits of tenants and keys, looked at ten times a second at most for each caller."""

    def __init__(self, limits: Limits, config: Config) -> None:
        self._limits = limits
        self._peeked: dict[tuple[str, str | None, Priority], _Peeked] = {}
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take the limits of `config`."""
        self._asking = Asking(config)
        self._peeked.clear()

    def none(self, tenant: str, key_id: str | None) -> bool:
        """Tell whether nothing of its own limits this caller."""
        return not self._asking.own(tenant, key_id, _SOME_TOKENS)

    async def turn(
        self, tenant: str, key_id: str | None, priority: Priority, queued: int
    ) -> LimitTurn | None:
        """Return when the next of `queued` waiting requests may start; None where nothing limits.

        Raises EngineError.
        """
        own = self._asking.own(tenant, key_id, _SOME_TOKENS)
        if not own:
            return None
        booked_s = await self._peek((tenant, key_id, priority), own) - time.time()
        # Whose of the tenant's keys the others are is not known.
        of_tenant = self._asking.own(tenant, None, _SOME_TOKENS)
        behind = [(_behind_s(limit, queued), limit.what) for limit in of_tenant]
        longest_s, what = max(behind, default=(0.0, own[0].what))
        if max(booked_s, longest_s) <= 0:
            return None
        return LimitTurn(max(booked_s, longest_s), what)

    async def _peek(self, caller: tuple[str, str | None, Priority], own: list[Cap | Rate]) -> float:
        now = time.monotonic()
        known = self._peeked.get(caller)
        if known is not None and now < known.at + _REFRESH_S:
            return known.start
        start = await self._limits.peek(own, RANK[caller[2]])
        if len(self._peeked) >= _MOST_KNOWN:
            self._peeked.clear()
        self._peeked[caller] = _Peeked(now, start)
        return start


def _behind_s(limit: Cap | Rate, queued: int) -> float:
    """Return how long `queued` requests keep a limit busy that is full at first.

    Only what counts requests is known by their number; tokens show in what is booked.
    """
    if isinstance(limit, Cap) or limit.counts == "tokens":
        return 0.0
    return max(0.0, (queued - limit.per_minute) / limit.per_minute * _MINUTE_S)
