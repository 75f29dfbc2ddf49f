"""The lines of a batch: made, found ended, gathered, each step one script in its partition."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgpack

from broker.ports.batches import EndedLine, Gathered
from broker.redis_store.batch_fields import added, cursor_value
from broker.redis_store.batcher import Batcher
from broker.redis_store.fields import apart, birth_fields, record_of
from broker.redis_store.file_fields import first_fields, part_value
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from schemas.batches import Cursor
from schemas.envelope import Envelope
from schemas.files import OUTPUT_PURPOSE, Part, batch_file_name
from schemas.ids import BatchFileKind, batch_file_id, line_id

# What one script works on, so that it holds Redis up for a few ms at most.
_MOST_FED = 100
_MOST_READ = 100
_MOST_LOOKED_AT = 500
# A byte in which not every line has ended.
_OPEN_BYTE = re.compile(rb"[^\xff]")


class Lines:
    """The lines of all batches."""

    def __init__(self, batcher: Batcher, keys: Keys) -> None:
        self._batcher = batcher
        self._keys = keys

    async def feed(
        self, batch_id: str, token: int, lines: Sequence[Envelope]
    ) -> Sequence[bool] | None:
        """As Batches.feed; what one script has made stays, also where a later one is refused."""
        told: list[bool] = []
        for some in _pieces(lines, _MOST_FED):
            answer = await self.run("batch_feed", batch_id, token, *_births(some))
            if answer is None:
                return None
            told += map(bool, answer)
        return told

    async def fed(self, batch_id: str, token: int, cursor: Cursor) -> bool:
        """As Batches.fed."""
        return bool(await self.run("batch_fed", batch_id, token, cursor_value(cursor)))

    async def ends(
        self, batch_id: str, limit: int, max_bytes: int, skip: int = 0
    ) -> Sequence[EndedLine]:
        """As Batches.ends."""
        found: list[EndedLine] = []
        while (number := min(limit - len(found), _MOST_READ)) > 0 and max_bytes > 0:
            args = (skip + len(found), number, max_bytes)
            answer = await self.run("batch_ends", batch_id, *args)
            for line, flat, result in answer:
                found.append(EndedLine(line, record_of(line_id(batch_id, line), flat, result)))
                max_bytes -= len(result)
            if len(answer) < number:
                break
        return found

    async def gathered(self, batch_id: str, token: int, step: Gathered) -> bool:
        """As Batches.gathered."""
        packed = _packed(batch_id, step)
        digest = hashlib.sha256(packed).digest()
        tag = self._keys.tag(batch_id)
        keys = (*self._keys.of_lines(tag), self._keys.files(tag))
        command = script("batch_gathered", keys, batch_id, token, digest, packed)
        return bool(await self._batcher.submit(tag, *command))

    async def unended(self, batch_id: str) -> Sequence[int]:
        """As Batches.unended."""
        made, first, bits = await self.run("batch_unended", batch_id)
        return clear_bits(bits, first, made)

    async def lost(self, batch_id: str) -> Sequence[int]:
        """As Batches.lost."""
        asked = [
            self.run("batch_lost", batch_id, msgpack.packb(some))
            for some in _pieces(await self.unended(batch_id), _MOST_LOOKED_AT)
        ]
        return [line for part in await asyncio.gather(*asked) for line in part]

    async def failed(self, batch_id: str) -> bytes:
        """As Batches.failed_lines."""
        key = self._keys.failed_lines(batch_id)
        bits: bytes | None = await self._batcher.submit(self._keys.tag(batch_id), "GET", key)
        return bits or b""

    async def run(self, name: str, batch_id: str, *args: Any) -> Any:
        """Run a script about a batch and its lines."""
        tag = self._keys.tag(batch_id)
        command = script(name, self._keys.of_lines(tag), batch_id, *args)
        return await self._batcher.submit(tag, *command)


def _pieces(items: Sequence[Any], most: int) -> Iterator[list[Any]]:
    left = iter(items)
    while piece := list(islice(left, most)):
        yield piece


def _births(lines: Sequence[Envelope]) -> list[Any]:
    """Return the arguments of scripts/batch_feed.lua: what all share is sent once."""
    shared, own = apart([birth_fields(line) | {"published": 1} for line in lines])
    args: list[Any] = [len(shared), *shared]
    for line, fields in zip(lines, own, strict=True):
        args += (line.line, len(fields), *fields)
    return args


def _packed(batch_id: str, step: Gathered) -> bytes:
    """Return the step as scripts/batch_gathered.lua takes it."""
    sets: dict[str, Any] = {"rate": repr(step.rate)}
    files: list[Any] = []
    if step.fed is not None:
        sets["fed"] = cursor_value(step.fed)
    if step.output is not None:
        sets["has_output"] = 1
        files.append(_growth(batch_id, "output", step.output))
    if step.errors is not None:
        sets["has_errors"] = 1
        files.append(_growth(batch_id, "errors", step.errors))
    adds = added(step.counts, step.usage)
    parts: list[Any] = [list(step.lines), list(step.failed), adds, sets, files]
    if step.after is not None:
        parts.append(step.after)
    # Redis's msgpack knows no bin type.
    packed: bytes = msgpack.packb(parts, use_bin_type=False)
    return packed


def _growth(batch_id: str, kind: BatchFileKind, part: Part) -> list[Any]:
    fields = first_fields(OUTPUT_PURPOSE, batch_file_name(batch_id, kind))
    return [batch_file_id(batch_id, kind), part_value(part), part.bytes, fields]


def clear_bits(bits: bytes, first: int, end: int) -> list[int]:
    """Return the numbers from `first` to before `end` whose bits are not set.

    `bits` begin with that of `first`, the highest of byte 0; those behind them are not set either.
    """
    clear = [
        first + 8 * match.start() + place
        for match in _OPEN_BYTE.finditer(bits)
        for place in range(8)
        if not match[0][0] & (0x80 >> place)
    ]
    clear += range(first + 8 * len(bits), end)
    return [number for number in clear if number < end]
