"""The switches as one process knows them: read again at every change, and now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from broker.ports import State, Switched, Switches
from schemas.errors import EngineError

_log = structlog.get_logger("penstock.switches")
_REFRESH_S = 2.0
# Until something is known nothing starts: ask more often.
_FIRST_S = 0.2


class SwitchBoard:
    """The states as they were last read; they are kept while the engine is away."""

    def __init__(self, switches: Switches) -> None:
        self._switches = switches
        self._states: dict[tuple[Switched, str], State] = {}
        self._wakes: set[Callable[[], None]] = set()
        self._news = asyncio.Event()
        self._known = False
        switches.on_change(self._news.set)

    async def run(self) -> None:
        """Follow the switches until cancelled; a lost message costs at most two seconds."""
        while True:
            self._news.clear()
            try:
                await self.refresh()
            except EngineError as error:
                _log.warning("keeps the last known switches", error=str(error))
            try:
                async with asyncio.timeout(_REFRESH_S if self._known else _FIRST_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        """Read the switches once, and wake whoever follows them if one has changed."""
        found = await self._switches.all()
        changed = not self._known or found != self._states
        self._states, self._known = found, True
        if changed:
            for wake in tuple(self._wakes):
                wake()

    def state(self, kind: Switched, name: str) -> State:
        """Return the last known state; what nobody has switched is running."""
        return self._states.get((kind, name), State.RUNNING)

    def model_runs(self, model: str) -> bool:
        """Tell whether requests of `model` may start; not before anything is known."""
        return self._known and self.state("model", model) is not State.PAUSED

    def backend_state(self, name: str) -> State:
        """Return the last known state of a backend."""
        return self.state("backend", name)

    def on_change(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever a state has changed, and when the first are known."""
        self._wakes.add(wake)

    def forget(self, wake: Callable[[], None]) -> None:
        """Call `wake` no more."""
        self._wakes.discard(wake)
