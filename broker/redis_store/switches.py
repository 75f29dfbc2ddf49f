"""The switches in Redis: one hash, and a message to every process when it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from broker.ports import State, Switched
from broker.redis_store.batcher import Batcher
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from broker.redis_store.waits import Waits


class RedisSwitches:
    """Fills `Switches`. A field of the hash is `model:` or `backend:` and the name."""

    def __init__(self, batcher: Batcher, keys: Keys, waits: Waits) -> None:
        self._batcher = batcher
        self._keys = keys
        self._waits = waits

    async def set(self, kind: Switched, name: str, state: State) -> None:
        value = "" if state is State.RUNNING else state.value
        args = (self._keys.wake_all, f"{kind}:{name}", value)
        command = script("switch", [self._keys.states()], *args)
        await self._batcher.submit(self._keys.switches, *command)

    async def all(self) -> dict[tuple[Switched, str], State]:
        flat = await self._batcher.submit(self._keys.switches, "HGETALL", self._keys.states())
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {_key(field.decode()): State(value.decode()) for field, value in pairs}

    def on_change(self, tell: Callable[[], None]) -> None:
        self._waits.on_switched(tell)


def _key(field: str) -> tuple[Switched, str]:
    kind, _, name = field.partition(":")
    return cast(Switched, kind), name
