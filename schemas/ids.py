"""Identifiers: how they are made, checked and mapped to a partition or a queue name."""

from __future__ import annotations

import hashlib
import re
import secrets

PARTITIONS = 16
ID_LENGTH = 38
_REQUEST_ID = re.compile(r"req_0[0-9a-f][0-9a-f]{32}")
_NOT_SLUG = re.compile(r"[^a-z0-9_-]")
_SLUG_BYTES = 120


def new_request_id(partition_seed: bytes | None = None) -> str:
    """Return a fresh id: `req_`, two hex digits of partition, 128 random bits.

    With a seed it lies in that seed's partition: equal seeds meet there.
    """
    partition = secrets.randbelow(PARTITIONS)
    if partition_seed is not None:
        partition = partition_of_seed(partition_seed)
    return f"req_{partition:02x}{secrets.token_hex(16)}"


def derived_request_id(*parts: str) -> str:
    """Return the one id that belongs to `parts`: a SHA-256 of them, no secret (PROTOCOL 1)."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"req_{int(digest[:2], 16) % PARTITIONS:02x}{digest[2:34]}"


def response_id(request_id: str) -> str:
    """Return the name of a request in OpenAI's Responses dialect: `resp_` and the same digits."""
    return f"resp_{request_id.removeprefix('req_')}"


def request_id_of(text: str) -> str:
    """Return the request's id that `text` names, as `resp_...` or as it is."""
    return f"req_{text.removeprefix('resp_')}" if text.startswith("resp_") else text


def is_request_id(text: str) -> bool:
    """Tell whether `text` has the exact form of a request id."""
    return _REQUEST_ID.fullmatch(text) is not None


def partition_of(request_id: str) -> int:
    """Return the partition that holds the record of `request_id`, 0 to PARTITIONS - 1."""
    return int(request_id[4:6], 16)


def partition_of_seed(seed: bytes) -> int:
    """Return the partition of the ids that are made with this seed."""
    return hashlib.sha256(seed).digest()[0] % PARTITIONS


def slug(model: str) -> str:
    """Return the queue-safe form of a model's name.

    Different names never share a slug: whenever a character had to be replaced, or the name is
    too long, eight hex digits of the name's SHA-256 are appended.
    """
    safe = _NOT_SLUG.sub("-", model.lower())
    if safe == model and len(safe) <= _SLUG_BYTES:
        return safe
    digest = hashlib.sha256(model.encode()).hexdigest()[:8]
    return f"{safe[: _SLUG_BYTES - 9]}-{digest}"
