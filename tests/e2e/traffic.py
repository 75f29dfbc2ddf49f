"""Held calls and submitted requests, sent by threads for as long as something else happens."""

from __future__ import annotations

import random
import threading
from collections import Counter
from types import TracebackType
from typing import Any, Self

from tests.e2e.door import Door, chat_body


class Traffic:
    """`with Traffic(door, model, seed) as traffic`: every request has a tag of its own."""

    def __init__(self, door: Door, model: str, seed: int, callers: int = 6, senders: int = 2):
        self.accepted: list[str] = []
        self.held: list[str] = []
        self.wrong: list[Any] = []
        self._door = door
        self._model = model
        self._over = threading.Event()
        whats = [self._hold] * callers + [self._submit] * senders
        self._threads = [
            threading.Thread(target=self._keep_on, args=(what, number, seed))
            for number, what in enumerate(whats)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _keep_on(self, what: Any, number: int, seed: int) -> None:
        chance = random.Random(f"{seed} {number}")
        count = 0
        while not self._over.wait(chance.uniform(0.02, 0.15)):
            count += 1
            try:
                what(f"{number}-{count}")
            except Exception as error:  # noqa: BLE001  because the test's thread has to see it
                self.wrong.append(error)

    def _hold(self, tag: str) -> None:
        told = self._door.chat(self._model, tag)
        self.held.append(tag)
        if told.status != 200:
            self.wrong.append(told)

    def _submit(self, tag: str) -> None:
        told = self._door.ask("POST", "/v1/requests", {"body": chat_body(self._model, tag)})
        if told.status == 202:
            self.accepted.append(told.json["id"])
        else:
            self.wrong.append(told)


def most_open(calls: list[dict[str, Any]], since: float, until: float) -> int:
    """Return how many calls were open at most when one began between two instants."""
    begun = [call["start"] for call in calls if since <= call["start"] <= until]
    return max(
        (sum(c["start"] <= at and (c["end"] or at) >= at for c in calls) for at in begun),
        default=0,
    )


def repeated(calls: list[dict[str, Any]]) -> dict[str, int]:
    """Return the requests that were called more than once, and how often."""
    return {key: count for key, count in Counter(c["id"] for c in calls).items() if count > 1}
