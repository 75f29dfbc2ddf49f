"""What the backend saw: when calls began and ended, and how many were open."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any


class Seen:
    """The fake backend's calls, in the order in which they began."""

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        self.calls = calls

    @cached_property
    def starts(self) -> dict[str, float]:
        """When each request was first called, in Unix seconds."""
        starts: dict[str, float] = {}
        for call in self.calls:
            starts.setdefault(call["id"], call["start"])
        return starts

    def has(self, ids: Sequence[str]) -> bool:
        """Tell whether each of these requests has been called."""
        return all(request_id in self.starts for request_id in ids)

    def ended(self, ids: Sequence[str]) -> bool:
        """Tell whether each of these requests has been answered."""
        answered = {call["id"] for call in self.calls if call["end"] is not None}
        return answered.issuperset(ids)

    def wait_s(self, request_id: str, accepted_at: float) -> float:
        """Return how long a request waited for its first call; for ever if it had none."""
        return self.starts.get(request_id, math.inf) - accepted_at

    def of(self, ids: Sequence[str]) -> Seen:
        """Return only the calls of these requests."""
        wanted = set(ids)
        return Seen([call for call in self.calls if call["id"] in wanted])

    def service_s(self) -> float:
        """Return the median time that an ended call took."""
        times = sorted(call["end"] - call["start"] for call in self.calls if call["end"])
        return float(times[len(times) // 2])

    def most_open(self) -> int:
        """Return how many calls were open at most at once; an end frees before a start takes."""
        changes = [(call["start"], 1) for call in self.calls]
        changes += [(call["end"], -1) for call in self.calls if call["end"] is not None]
        level = most = 0
        for _, change in sorted(changes):
            level += change
            most = max(most, level)
        return most

    def busy(self) -> float:
        """Return how many calls were open on average, from the first start to the last end."""
        ended = [call for call in self.calls if call["end"] is not None]
        if not ended:
            return 0.0
        first = min(call["start"] for call in ended)
        last = max(call["end"] for call in ended)
        return float(sum(call["end"] - call["start"] for call in ended) / (last - first))

    def most_above_rate(self, per_s: float) -> float:
        """Return the most calls that began in any interval, less `per_s` for each of its seconds.

        A bucket of `burst` that refills with `per_s` never lets through more than `burst`.
        """
        level = most = 0.0
        last = None
        for start in sorted(self.starts.values()):
            if last is not None:
                level = max(0.0, level - (start - last) * per_s)
            last, level = start, level + 1
            most = max(most, level)
        return most
