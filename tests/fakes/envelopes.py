"""Requests as they travel, with everything filled in that a test does not care about."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import Any

from schemas.envelope import Envelope
from schemas.ids import new_request_id
from schemas.priority import Priority

_BODY = b'{"model": "m", "messages": []}'


def make_envelope(**changes: Any) -> Envelope:
    """Return an envelope for model `m`, priority normal, due in an hour, with `changes`."""
    now = time.time()
    plain = Envelope(
        id=new_request_id(),
        tenant="default",
        model="m",
        endpoint="chat.completions",
        priority=Priority.NORMAL,
        accepted_at=now,
        deadline=now + 3_600,
        body=_BODY,
        body_hash=hashlib.sha256(_BODY).digest(),
    )
    return replace(plain, **changes)
