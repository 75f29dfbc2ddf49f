"""What is known of files; their bytes are in `Blobs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from schemas.files import Part, StoredFile


@dataclass(frozen=True, slots=True)
class FileSelection:
    """Which files a list shows, by (created_at, id)."""

    tenant: str
    purpose: str | None = None
    newest_first: bool = True


class Files(Protocol):
    """The files of all tenants. One past its `expires_at` reads as unknown."""

    async def create(self, file: StoredFile, parts: Sequence[Part]) -> bool:
        """Note a file whose blobs are stored; False if the id exists."""

    async def get(self, file_id: str) -> StoredFile | None:
        """Return what is known of a file; None for an unknown one."""

    async def parts(self, file_id: str) -> Sequence[Part]:
        """Return its parts in order; those of a running batch become more."""

    async def select(
        self, selection: FileSelection, after: str | None, limit: int
    ) -> list[StoredFile] | None:
        """Return a page of files behind `after`; None if the tenant has no such."""

    async def delete(self, file_id: str) -> Sequence[Part]:
        """Forget a file, and return the parts whose blobs are to go; none if it is not there.

        The caller deletes them; what a crash leaves is found by nobody, and costs only room.
        """

    async def expired(self, limit: int) -> list[str]:
        """Return the ids of files past their `expires_at` that nobody has deleted yet."""
