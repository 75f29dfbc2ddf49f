"""Results and slots with everything filled in that a test does not care about."""

from __future__ import annotations

import itertools
import time
from typing import Any

from broker.ports import Reservation
from schemas.lifecycle import Status
from schemas.result import Result

_numbers = itertools.count(1)


def make_result(status: Status = Status.COMPLETED, **changes: Any) -> Result:
    """Return a result with `changes`; a success carries a body."""
    fields: dict[str, Any] = {"code": None if status is Status.COMPLETED else "backend_failed"}
    if status is Status.COMPLETED:
        fields |= {"status_code": 200, "content_type": "application/json", "body": b"{}"}
    return Result(**{"status": status, "finished_at": time.time(), **fields, **changes})


def make_slot(backend: str = "gpu-a") -> Reservation:
    """Return a reservation that no other test or claim has."""
    return Reservation(backend, f"test:1:{next(_numbers)}")
