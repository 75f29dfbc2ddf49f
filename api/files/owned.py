"""Finding a file for whoever it belongs to."""

from __future__ import annotations

from broker.ports import Files
from schemas.errors import RequestError
from schemas.files import StoredFile
from schemas.ids import is_file_id


async def own_file(files: Files, file_id: str, tenant: str) -> StoredFile:
    """Return a tenant's file. Raises RequestError: a foreign one is as unknown as any."""
    file = await files.get(file_id) if is_file_id(file_id) else None
    if file is None or file.tenant != tenant:
        raise RequestError("file_not_found")
    return file
