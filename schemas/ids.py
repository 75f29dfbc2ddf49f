"""Identifiers: how they are made, checked and mapped to a partition or a queue name."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Literal

PARTITIONS = 16
ID_LENGTH = 38
_REQUEST_ID = re.compile(r"req_0[0-9a-f][0-9a-f]{32}")
_BATCH_ID = re.compile(r"batch_0[0-9a-f][0-9a-f]{32}")
_FILE_ID = re.compile(r"file-0[0-9a-f][0-9a-f]{32}")
_DIGITS = 34

BatchFileKind = Literal["output", "errors"]
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


def new_request_ids(count: int) -> list[str]:
    """Return fresh ids, all of one partition, in ascending order."""
    partition, digits = secrets.randbelow(PARTITIONS), secrets.token_hex(16 * count)
    return sorted(f"req_{partition:02x}{digits[at : at + 32]}" for at in range(0, 32 * count, 32))


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


def new_batch_id() -> str:
    """Return a fresh id of a batch: `batch_` and digits as those of a request."""
    return f"batch_{new_request_id().removeprefix('req_')}"


def derived_batch_id(*parts: str) -> str:
    """Return the one id of a batch that belongs to `parts`, as `derived_request_id`."""
    return f"batch_{derived_request_id(*parts).removeprefix('req_')}"


def is_batch_id(text: str) -> bool:
    """Tell whether `text` has the exact form of a batch's id."""
    return _BATCH_ID.fullmatch(text) is not None


def message_batch_id(batch_id: str) -> str:
    """Return the name of a batch in Anthropic's dialect: `msgbatch_` and the same digits."""
    return f"msgbatch_{batch_id.removeprefix('batch_')}"


def batch_id_of(text: str) -> str | None:
    """Return the batch's id that `text`, of Anthropic's dialect, names; None if it cannot."""
    batch_id = f"batch_{text.removeprefix('msgbatch_')}"
    return batch_id if text.startswith("msgbatch_") and is_batch_id(batch_id) else None


def line_id(batch_id: str, line: int) -> str:
    """Return the id of the request that a batch's line is, counted from 0; in its partition."""
    digits = batch_id[-_DIGITS:]
    return f"req_{digits[:26]}{line:08x}"


def new_file_id() -> str:
    """Return a fresh id of a file: `file-` and digits as those of a request."""
    return f"file-{new_request_id().removeprefix('req_')}"


def derived_file_id(*parts: str) -> str:
    """Return the one id of a file that belongs to `parts`, as `derived_request_id`."""
    return f"file-{derived_request_id(*parts).removeprefix('req_')}"


def batch_file_id(batch_id: str, kind: BatchFileKind) -> str:
    """Return the id of the file that a batch writes; in its partition."""
    digest = hashlib.sha256(f"{batch_id}/{kind}".encode()).hexdigest()
    return f"file-{batch_id[-_DIGITS:][:2]}{digest[:32]}"


def is_file_id(text: str) -> bool:
    """Tell whether `text` has the exact form of a file's id."""
    return _FILE_ID.fullmatch(text) is not None


def partition_of(object_id: str) -> int:
    """Return the partition that holds a request, a batch or a file, 0 to PARTITIONS - 1."""
    return int(object_id[-_DIGITS:][:2], 16)


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
