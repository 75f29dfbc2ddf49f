"""A file as the store knows it; its bytes are blobs."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.ids import BatchFileKind

OUTPUT_PURPOSE = "batch_output"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a file: a blob of `bytes` bytes, never changed once it is part of one."""

    key: str
    bytes: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a tenant. Instants are Unix seconds.

    `bytes` is the sum of its parts; the file of a running batch still grows.
    """

    id: str
    tenant: str
    purpose: str
    filename: str
    bytes: int
    created_at: float
    expires_at: float


def batch_file_name(batch_id: str, kind: BatchFileKind) -> str:
    """Return the name of the file that a batch writes."""
    return f"{batch_id}_{kind}.jsonl"


def batch_in(file: StoredFile) -> str | None:
    """Return the id of the batch that writes a file; None for any other."""
    return file.filename.rpartition("_")[0] if file.purpose == OUTPUT_PURPOSE else None
