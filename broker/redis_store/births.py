"""Many records made, or noted as published, by one script a partition."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from broker.redis_store.batcher import Batcher
from broker.redis_store.fields import apart, birth_fields
from broker.redis_store.keys import Keys
from broker.redis_store.scripts import script
from schemas.codec import encode
from schemas.envelope import Envelope
from schemas.errors import EngineError
from schemas.record import BODY_KEPT

# What one script works on, so that it holds Redis up for a few ms at most.
_MOST = 100


class Births:
    """The scripts that work on many new requests at once."""

    def __init__(self, batcher: Batcher, keys: Keys) -> None:
        self._batcher = batcher
        self._keys = keys

    async def create(self, envelopes: Sequence[Envelope]) -> list[bool | EngineError]:
        """Return for each whether its id was new, or the error of its script.

        One that is not plain is not made here, and is told as one that was there.
        """
        told: list[bool | EngineError] = [False] * len(envelopes)
        await asyncio.gather(
            *(
                self._make([envelopes[place] for place in places], places, told)
                for places in self._together(envelopes)
            )
        )
        return told

    async def mark_published(self, envelopes: Sequence[Envelope]) -> None:
        """Note for many that a copy is confirmed."""
        asked = []
        for places in self._together(envelopes, only_plain=False):
            some = [envelopes[place] for place in places]
            args = [part for each in some for part in (each.id, each.generation)]
            asked.append(self._run("mark_all_published", some[0], args))
        await asyncio.gather(*asked)

    def _together(
        self, envelopes: Sequence[Envelope], *, only_plain: bool = True
    ) -> Iterator[list[int]]:
        """Yield the places of those that one script can work on."""
        found: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, envelope in enumerate(envelopes):
            if not only_plain or _is_plain(envelope):
                found[self._keys.tag(envelope.id), envelope.tenant].append(place)
        for places in found.values():
            for start in range(0, len(places), _MOST):
                yield places[start : start + _MOST]

    async def _make(
        self, some: Sequence[Envelope], places: Sequence[int], told: list[bool | EngineError]
    ) -> None:
        try:
            answer = await self._run("create_all", some[0], _births(some))
        except EngineError as error:
            answer = [error] * len(some)
        for place, new in zip(places, answer, strict=True):
            told[place] = new if isinstance(new, EngineError) else bool(new)

    def _run(self, name: str, first: Envelope, args: Sequence[Any]) -> asyncio.Future[Any]:
        tag = self._keys.tag(first.id)
        keys = (*self._keys.of_lines(tag), self._keys.list_of(tag, first.tenant))
        return self._batcher.submit(tag, *script(name, keys, *args))


def _is_plain(envelope: Envelope) -> bool:
    """Tell whether scripts/create_all.lua can make it."""
    return not (envelope.held_by or envelope.batch or envelope.endpoint in BODY_KEPT)


def _births(some: Sequence[Envelope]) -> list[Any]:
    """Return the arguments of scripts/create_all.lua: what all share is sent once."""
    shared, own = apart([birth_fields(each) for each in some])
    args: list[Any] = [len(shared), *shared]
    for envelope, fields in zip(some, own, strict=True):
        args += (envelope.id, encode(envelope), len(fields), *fields)
    return args
