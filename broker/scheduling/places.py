"""The places under one cap in one process: who holds one, and who is next to be given one.

What becomes free is granted to whoever waits with the best score; a grant that is not used within
1 s passes on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

GRANT_S = 1.0
_HOLD_S = 1.0
_HOLD_WEIGHT = 0.1

Score = tuple[int, float]
# Who waits: a pool's line, by its backend and model.
Line = tuple[str, str]


@dataclass(slots=True)
class Places:
    """`waiting` has each line's best score, `grants` until when its grant holds.

    `tell` is called with a line that was granted a place. `hold_s` is how long a place is held, a
    moving mean; the first one counts whole, until then it is a guess.
    """

    tell: Callable[[Line], None]
    limit: int = 0
    holders: dict[str, float] = field(default_factory=dict)
    waiting: dict[Line, Score] = field(default_factory=dict)
    grants: dict[Line, float] = field(default_factory=dict)
    hold_s: float = _HOLD_S
    _held_before: bool = False

    def free(self) -> int:
        """Return how many are neither held nor granted; below 0 after the limit was lowered."""
        return self.limit - len(self.holders) - len(self.grants)

    def admits(self, line: Line, score: Score, now: float) -> bool:
        """Tell whether `line` may take one, after those with better scores were given theirs."""
        self._lapse(now)
        if line in self.grants:
            return self.free() >= 0
        while self.free() > 0 and (better := self._better(line, score)) is not None:
            self._grant(better, now)
        return self.free() > 0

    def take(self, line: Line, reservation_id: str, now: float) -> None:
        """Hold one, by the line's grant if it has one."""
        self.grants.pop(line, None)
        self.holders[reservation_id] = now

    def leave(self, reservation_id: str, now: float, *, used: bool) -> None:
        """Free one and grant it to the best that waits."""
        taken_at = self.holders.pop(reservation_id, None)
        if taken_at is None:
            return
        if used:
            held_s = now - taken_at
            known_s = self.hold_s if self._held_before else held_s
            self.hold_s = known_s + _HOLD_WEIGHT * (held_s - known_s)
            self._held_before = True
        self._lapse(now)
        if self.waiting and self.free() > 0:
            self._grant(min(self.waiting, key=self.waiting.__getitem__), now)

    def wait(self, line: Line, score: Score | None) -> None:
        """Note with what score the line waits; None: it does not."""
        if score is None:
            self.waiting.pop(line, None)
        else:
            self.waiting[line] = score

    def _better(self, line: Line, score: Score) -> Line | None:
        others = [(at, other) for other, at in self.waiting.items() if other != line]
        best = min(others, default=None)
        return best[1] if best is not None and best[0] < score else None

    def _grant(self, line: Line, now: float) -> None:
        del self.waiting[line]
        self.grants[line] = now + GRANT_S
        self.tell(line)

    def _lapse(self, now: float) -> None:
        for line in [line for line, until in self.grants.items() if until <= now]:
            del self.grants[line]
