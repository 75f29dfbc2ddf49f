"""How much slower a replica's calls are than they were at its best. Pure.

Longer outputs are no strain: a call is only compared with calls of its kind (the model, say) and of
about the same number of output tokens, and by its time per token.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

# A best time is a mean of so many calls: one lucky call is no measure.
_BLOCK = 50
# The first best is needed before there is much load.
_FIRST = 10
_WEIGHT = 0.05
# One call that hung must not look like many that are slow.
_MOST = 5.0
_MAX_KINDS = 256


@dataclass(slots=True)
class _Kind:
    best: float = 0.0
    total: float = 0.0
    count: int = 0


class Latency:
    """A moving mean of (seconds per output token) ÷ (the best mean of such calls)."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[Hashable, _Kind] = OrderedDict()
        self.strain = 1.0

    def observe(self, kind: Hashable, seconds: float, output_tokens: int) -> float | None:
        """Take in a call that was answered; return its part, None until its kind has a best."""
        ratio = None
        known = self._kind((kind, output_tokens.bit_length()))
        per_token = seconds / max(1, output_tokens)
        if known.best > 0:
            ratio = min(_MOST, per_token / known.best)
            self.strain += _WEIGHT * (ratio - self.strain)
        known.total += per_token
        known.count += 1
        if known.count == (_BLOCK if known.best > 0 else _FIRST):
            mean = known.total / known.count
            known.best = min(known.best, mean) if known.best > 0 else mean
            known.total, known.count = 0.0, 0
        return ratio

    def restart(self) -> None:
        """Take the mean anew, of what is observed from now on."""
        self.strain = 1.0

    def accept(self, slowness: float) -> None:
        """Take what is seen now for the best: less load has not made it faster."""
        for known in self._kinds.values():
            known.best *= slowness

    def _kind(self, key: Hashable) -> _Kind:
        known = self._kinds.setdefault(key, _Kind())
        self._kinds.move_to_end(key)
        if len(self._kinds) > _MAX_KINDS:
            self._kinds.popitem(last=False)
        return known
