"""Background tasks with an owner: none dies unnoticed, none outlives `stop`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import structlog

T = TypeVar("T")
Cancel = Callable[[], object]

# A task that ran this long before it died starts again without delay.
_HEALTHY_S = 30.0
_log = structlog.get_logger("penstock.lifecycle")


def backoff(first_s: float = 0.2, most_s: float = 5.0) -> Iterator[float]:
    """Yield ever longer pauses, with jitter so that many processes do not come back at once."""
    pause = first_s
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(most_s, pause * 2)


def cancelled_from_outside() -> bool:
    """Tell whether the running task was asked to end.

    A library can raise CancelledError into a task that nobody cancelled: a lost connection, say.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def drop(task: asyncio.Future[Any]) -> None:
    """Cancel a task of ours and wait until it is gone, whatever it ends with."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


class Tasks:
    """The background tasks of one owner."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False

    def __len__(self) -> int:
        return len(self._tasks)

    def supervise(self, name: str, factory: Callable[[], Coroutine[Any, Any, None]]) -> Cancel:
        """Run `factory()` until it returns; when it raises, log that and start it again."""
        return self._own(name, self._restarting(name, factory)).cancel

    def spawn(self, name: str, coroutine: Coroutine[Any, Any, object]) -> Cancel:
        """Run `coroutine` once in the background; a failure is logged."""
        task = self._own(name, coroutine)
        task.add_done_callback(self._log_failure)
        return task.cancel

    async def finish(self, name: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run `coroutine` to its end even if the caller is cancelled; it gets the outcome."""
        task = self._own(name, coroutine)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._log_failure)
            raise

    async def join(self) -> None:
        """Return when no task is left; running ones may start others meanwhile."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def stop(self, grace_s: float = 0.0) -> None:
        """Give running tasks `grace_s` to end, then cancel the rest and wait for them."""
        self._stopped = True
        others = self._tasks - {asyncio.current_task()}
        if grace_s and others:
            await asyncio.wait(others, timeout=grace_s)
        # A library can swallow a cancel that meets its own clean-up, so it is asked again.
        while others := {task for task in others if not task.done()}:
            for task in others:
                task.cancel()
            await asyncio.wait(others, timeout=5.0)

    def _own(self, name: str, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        if self._stopped:
            coroutine.close()
            raise RuntimeError(f"{self._owner} is stopped; {name} was not started")
        task = asyncio.create_task(coroutine, name=f"{self._owner}: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _log_failure(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()):
            _log.error("task_failed", task=task.get_name(), exc_info=error)

    async def _restarting(
        self, name: str, factory: Callable[[], Coroutine[Any, Any, None]]
    ) -> None:
        pauses = backoff()
        while True:
            started = time.monotonic()
            try:
                return await factory()
            except asyncio.CancelledError:
                if cancelled_from_outside():
                    raise
                _log.warning("task_cancelled_from_within", owner=self._owner, task=name)
            except Exception:  # noqa: BLE001  because whatever killed it, it must run on
                _log.exception("task_died", owner=self._owner, task=name)
            if time.monotonic() - started > _HEALTHY_S:
                pauses = backoff()
            await asyncio.sleep(next(pauses))
