"""The Files port: each file in the partition that its id names."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from broker.ports.files import FileSelection
from broker.redis_store.batcher import Batcher
from broker.redis_store.file_fields import file_of, first_fields, part_of, part_value
from broker.redis_store.keys import Keys
from broker.redis_store.paging import Place, Stream, merged, outermost, share, stopped_at
from broker.redis_store.scripts import script
from schemas.files import Part, StoredFile
from schemas.ids import is_file_id

_MOST = 500  # entries that one script looks at


class RedisFiles:
    """The files in Redis."""

    def __init__(self, batcher: Batcher, keys: Keys) -> None:
        self._batcher = batcher
        self._keys = keys

    async def create(self, file: StoredFile, parts: Sequence[Part]) -> bool:
        fields = first_fields(file.purpose, file.filename)
        args = [file.tenant, repr(file.created_at), repr(file.expires_at), len(fields), *fields]
        for part in parts:
            args += [part_value(part), part.bytes]
        return bool(await self._run("file_create", file.id, *args))

    async def get(self, file_id: str) -> StoredFile | None:
        if not is_file_id(file_id):
            return None
        flat = await self._run("file_read", file_id, "fields")
        return None if flat is None else file_of(file_id, flat)

    async def parts(self, file_id: str) -> Sequence[Part]:
        return [part_of(each) for each in await self._run("file_read", file_id, "parts") or ()]

    async def select(
        self, selection: FileSelection, after: str | None, limit: int
    ) -> list[StoredFile] | None:
        start = outermost(selection.newest_first)
        if after is not None:
            known = await self.get(after)
            if known is None or known.tenant != selection.tenant:
                return None
            start = _place(known)
        tags = self._keys.partitions
        most = share(limit, len(tags))
        streams = [Stream(partial(self._page, tag, selection, most), start) for tag in tags]
        return await merged(streams, _place, limit, newest_first=selection.newest_first)

    async def delete(self, file_id: str) -> Sequence[Part]:
        return [part_of(each) for each in await self._run("file_delete", file_id)]

    async def expired(self, limit: int) -> list[str]:
        asked = [
            self._batcher.submit(tag, *script("file_expired", [self._keys.files(tag)], limit))
            for tag in self._keys.partitions
        ]
        parts = await asyncio.gather(*asked)
        return [file_id.decode() for part in parts for file_id in part][:limit]

    async def _page(
        self, tag: str, selection: FileSelection, most: int, place: Place
    ) -> tuple[list[StoredFile], Place | None]:
        order = "newest" if selection.newest_first else "oldest"
        args = (repr(place[0]), place[1], order, most, _MOST, "purpose", selection.purpose or "")
        keys, prefix = [self._keys.files_of(tag, selection.tenant)], self._keys.file(tag, "")
        found, stopped = await self._batcher.submit(tag, *script("page", keys, prefix, *args))
        return [file_of(each.decode(), flat) for each, flat in found], stopped_at(stopped)

    async def _run(self, name: str, file_id: str, *args: Any) -> Any:
        tag = self._keys.tag(file_id)
        command = script(name, [self._keys.files(tag)], file_id, *args)
        return await self._batcher.submit(tag, *command)


def _place(file: StoredFile) -> Place:
    return file.created_at, file.id
