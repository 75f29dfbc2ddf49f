"""The outbox's reader of webhooks: no end goes untold, whoever made it and whoever died since."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from broker.ports import Engine, OutboxEntry
from workers.outbox import Outbox
from workers.webhooks.registry import Registry

Tell = Callable[[Sequence[str]], Awaitable[None]]


class Backstop:
    """Tells what has ended in the partitions this process holds."""

    def __init__(self, engine: Engine, registry: Registry, tell: Tell) -> None:
        self._registry = registry
        self._tell = tell
        self._outbox = Outbox(engine, "webhooks", self._see_to)

    async def run(self) -> None:
        """Read until cancelled; an entry is passed only when its posts are noted."""
        await self._registry.known()
        await self._outbox.run()

    async def _see_to(self, entries: Sequence[OutboxEntry]) -> None:
        wanted = [entry.request_id for entry in entries if self._wants(entry)]
        if wanted:
            await self._tell(wanted)

    def _wants(self, entry: OutboxEntry) -> bool:
        """Tell whether anybody may be told; an entry of an older version does not say of whom."""
        return entry.wants_webhook or entry.tenant is None or bool(self._registry.of(entry.tenant))
