"""What a class below `high` is owed: a small share of all starts, once its oldest waits too long.

While it is not late it is owed nothing and saves nothing up, so `high` never waits behind a
backlog, only now and then behind one start of it (PROTOCOL 2).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from schemas.limits import SchedulingConfig
from schemas.priority import Priority

HIGH_TARGET_WAIT_S = 1.0
# More than one start may be owed for a moment, when several classes come to theirs at once.
_MOST_OWED = 2.0


@dataclass(frozen=True, slots=True)
class ClassShare:
    """`share` of all starts (0 to 1), from the moment its oldest waits over `target_wait_s`."""

    share: float
    target_wait_s: float


def shares_of(config: SchedulingConfig) -> dict[Priority, ClassShare]:
    """Return what each class is owed; `high` is owed nothing, it comes first anyway."""
    return {
        priority: ClassShare(each.share, each.target_wait_s)
        for priority, each in (
            (Priority.NORMAL, config.normal),
            (Priority.LOW, config.low),
            (Priority.BATCH, config.batch),
        )
    }


def due_of(
    priority: Priority,
    accepted_at: float,
    deadline: float,
    service_s: float,
    shares: Mapping[Priority, ClassShare],
) -> float:
    """Return when a request should have started, in Unix seconds.

    That is after the target wait of its class, or so long before its deadline as it takes to serve.
    """
    share = shares.get(priority)
    target_wait_s = HIGH_TARGET_WAIT_S if share is None else share.target_wait_s
    return min(accepted_at + target_wait_s, deadline - service_s)


class Credits:
    """How many starts each class is owed at the moment."""

    def __init__(self, shares: Mapping[Priority, ClassShare]) -> None:
        self._shares = {priority: each.share for priority, each in shares.items()}
        self._owed = dict.fromkeys(shares, 0.0)

    def first(self, late: Collection[Priority]) -> Priority | None:
        """Return the late class that is owed a whole start, and most; None where none is."""
        owed = [priority for priority in late if self._owed[priority] >= 1.0]
        return max(owed, key=self._owed.__getitem__, default=None)

    def start(self, started: Priority, late: Collection[Priority]) -> None:
        """Count one start: each late class earns its share of it, the one that started pays."""
        if not late and not any(self._owed.values()):
            return
        for priority, share in self._shares.items():
            earned = self._owed[priority] + share if priority in late else 0.0
            paid = 1.0 if priority is started else 0.0
            self._owed[priority] = min(_MOST_OWED, max(0.0, earned - paid))

    def copy(self) -> dict[Priority, float]:
        """Return what is owed now, for `restore`."""
        return dict(self._owed)

    def restore(self, owed: Mapping[Priority, float]) -> None:
        """Owe again what was owed then."""
        self._owed.update(owed)
