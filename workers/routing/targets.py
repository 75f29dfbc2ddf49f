"""Which target serves a request: by weight, and the same one each time it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A backend that serves a model, the model's name there, and its share of the requests.

    The name of a model with a `*` may hold one too; `names.name_at` fills it in.
    """

    backend: str
    model: str
    weight: float = 1.0


def choose_target(targets: Sequence[Target], request_id: str) -> Target:
    """Return the target of `request_id`: its hash falls into the targets' weights.

    The choice does not change while the targets do not, so a retry meets the same one.
    """
    total = sum(target.weight for target in targets)
    digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
    point = int.from_bytes(digest) / 2**64 * total
    for target in targets:
        point -= target.weight
        if point < 0:
            return target
    return next(target for target in reversed(targets) if target.weight > 0)
