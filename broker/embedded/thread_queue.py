"""What waits for a thread, taken from its queue in batches."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def next_batch(waiting: SimpleQueue[T | None], most: int) -> tuple[list[T], bool]:
    """Wait for one task and take whatever else has come by then; False once None has come."""
    batch: list[T] = []
    task = waiting.get()
    while task is not None:
        batch.append(task)
        if len(batch) == most:
            return batch, True
        try:
            task = waiting.get_nowait()
        except Empty:
            return batch, True
    return batch, False
