"""One upload on its way in: its pieces, and what is known of it once they have come."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from api.exchange import Exchange
from api.files.asked import FIELDS, AskedUpload, asked_upload
from api.files.form import UploadForm
from api.files.turns import Turns
from schemas.errors import RequestError

# What a form may have beside its file.
_FORM_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Room:
    """How many bytes a file may have, and with which refusal a larger one is met."""

    bytes: int
    refusal: str

    def check(self, size: float) -> None:
        """Raise RequestError for a file of `size` bytes that does not fit."""
        if size > self.bytes:
            raise RequestError(self.refusal, self._sentence(), "file")

    def _sentence(self) -> str | None:
        if self.refusal == "file_too_large":
            return f"The file is over {self.bytes} bytes."
        return f"Your files leave room for {self.bytes} bytes; delete some first."


class Incoming:
    """The form that a client sends. Raises RequestError for what cannot be one that fits."""

    asked: AskedUpload

    def __init__(self, exchange: Exchange, room: Room, turns: Turns, *, hashed: bool) -> None:
        self._exchange = exchange
        self._turns = turns
        self._room = room
        self._form = UploadForm(exchange.header("content-type") or "", FIELDS)
        self._hash = hashlib.sha256() if hashed else None
        self.size = 0
        room.check(exchange.declared_bytes - _FORM_BYTES)

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file; `asked` and `size` are known afterwards.

        Raises RequestError as soon as it is known that it will be refused, and ClientGone.
        """
        arrived = 0
        async for chunk in self._exchange.pieces():
            await self._turns.take()
            arrived += len(chunk)
            self._room.check(arrived - _FORM_BYTES)
            for piece in self._form.feed(chunk):
                self.size += len(piece)
                self._room.check(self.size)
                if self._hash is not None:
                    self._hash.update(piece)
                yield piece
        self._form.end()
        self.asked = asked_upload(self._form)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes of one that is hashed, once they have come."""
        return b"" if self._hash is None else self._hash.digest()
