"""A file as the store knows it; its bytes are blobs."""

from __future__ import annotations

from dataclasses import dataclass


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
