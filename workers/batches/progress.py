"""How far one run of a batch has come: what its feeder and its gatherer know of each other."""

from __future__ import annotations

import asyncio
from collections import Counter

from broker.scheduling.lanes import next_lane
from schemas.batches import Batch, Cursor
from schemas.priority import Lane


class Progress:
    """All is durable but `read`, which counts ended lines that are not gathered yet.

    `made` lines became requests, `fed` is how far those are confirmed by the queues.
    """

    def __init__(self, batch: Batch) -> None:
        self.fed: Cursor = batch.fed
        self.made = batch.made
        self.gathered = batch.counts.ended
        self.read = 0
        # Set when lines have ended or been gathered.
        self.moved = asyncio.Event()
        # Of those fed by this run: what an earlier one has fed is not known by model.
        self._waiting: Counter[str] = Counter()
        self._lanes: dict[str, Lane] = {}

    @property
    def ended(self) -> int:
        """How many lines have ended, as far as this run has seen."""
        return self.gathered + self.read

    @property
    def unended(self) -> int:
        """How many that were made have not."""
        return max(0, self.made - self.ended)

    @property
    def ungathered(self) -> int:
        """How many that were made are not gathered."""
        return max(0, self.made - self.gathered)

    @property
    def unconfirmed(self) -> int:
        """How many were made by an earlier run that may not be in the queues."""
        return max(0, self.made - self.fed.line)

    def next_lane(self, model: str) -> Lane:
        """Count one more line that waits for `model`, and return its lane."""
        lane = next_lane(self._lanes.get(model, Lane.OPEN), self._waiting[model])
        self._waiting[model] += 1
        self._lanes[model] = lane
        return lane

    def line_ended(self, model: str) -> None:
        """Count a line that was read."""
        self.read += 1
        if self._waiting[model] > 0:
            self._waiting[model] -= 1

    def lines_gathered(self, lines: int) -> None:
        """Count lines as gathered which were read before."""
        self.read -= lines
        self.gathered += lines
