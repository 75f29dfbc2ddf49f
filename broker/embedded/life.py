"""What the parts of the embedded engine share: who we are, the time, how long results live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Life:
    """One life of the process; `owner` is `embedded:<epoch>`, known once the file is open."""

    retention_s: float
    clock: Callable[[], float]
    owner: str = "embedded:0"
