"""The outbox's reader of webhooks: no end goes untold, whoever made it and whoever died since."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from broker.ports import Engine, OutboxEntry
from workers.outbox import OutboxRounds
from workers.webhooks.registry import Registry

_ROUND_S = 0.7

Tell = Callable[[Sequence[str]], Awaitable[None]]


class Backstop:
    """Tells what has ended to `tell`; an entry is passed only when its posts are noted."""

    def __init__(self, engine: Engine, registry: Registry, tell: Tell) -> None:
        self._registry = registry
        self._tell = tell
        self._rounds = OutboxRounds(engine, "webhooks", self._act, _ROUND_S)

    async def run(self) -> None:
        """Read until cancelled."""
        await self._registry.known()
        await self._rounds.run()

    async def _act(self, entries: Sequence[OutboxEntry]) -> None:
        if wanted := [entry.request_id for entry in entries if self._wants(entry)]:
            await self._tell(wanted)

    def _wants(self, entry: OutboxEntry) -> bool:
        """Tell whether anybody may be told; an entry of an older version does not say of whom."""
        if entry.wants_webhook or entry.tenant is None:
            return True
        return not entry.quiet and bool(self._registry.of(entry.tenant))
