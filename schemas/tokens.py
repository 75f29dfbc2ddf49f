"""What a request will cost in tokens, as far as it shows from outside.

Estimates: fair turns and limits are charged by them at the start and corrected after the call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BYTES_PER_TOKEN = 4
_MAX_TOKENS = 10_000_000
_NO_OUTPUT = ("/v1/embeddings", "/v1/rerank", "/v1/moderations")
_NAMES = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def input_tokens(body: bytes) -> int:
    """Return about how many tokens `body` holds: four bytes each, as in English text."""
    return min(_MAX_TOKENS, len(body) // _BYTES_PER_TOKEN + 1)


def most_output(endpoint: str, members: Mapping[str, Any]) -> int | None:
    """Return the most tokens of output that a body asks for, all choices together.

    None where it does not say; a number that is none is the backend's to refuse.
    """
    if endpoint in _NO_OUTPUT:
        return 0
    said = [number for name in _NAMES if (number := _count(members.get(name))) is not None]
    if not said:
        return None
    return min(_MAX_TOKENS, said[0] * (_count(members.get("n")) or 1))


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value is not True and value >= 0 else None
