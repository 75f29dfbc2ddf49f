"""The requests of a batch of messages, checked and written as the lines of its input file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from itertools import islice
from typing import Any

import orjson

from api.anthropic.splitting import Splitter
from api.reading import check_model
from schemas.body import JsonObject, read_nested
from schemas.errors import RequestError
from schemas.message_batches import CUSTOM_ID, ENDPOINT

# A piece of a body can hold thousands of small ones: others have their turn in between.
_AT_ONCE = 64
_CUSTOM_ID = re.compile(CUSTOM_ID)
_MEMBERS = frozenset({"custom_id", "params"})
_LINE = b'{"custom_id":%b,"method":"POST","url":"' + ENDPOINT.encode() + b'","body":%b}\n'
# In a valid object a line break can only stand between its parts.
_ON_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")


class InputLines:
    """Makes one line of each request, of at most `most_bytes`; there may be `most` of them.

    `find` raises RequestError for a model that cannot be asked for. The parameters of a request are
    passed on exactly as they were sent, but for line breaks between their parts.
    """

    def __init__(self, most: int, most_bytes: int, find: Callable[[str], object]) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._find = find
        self._places: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many there were so far."""
        return len(self._places)

    async def of(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield the lines, several at a time. Raises RequestError for the first mistake."""
        splitter = Splitter(self._most_bytes - len(_LINE))
        async for piece in body:
            requests = splitter.feed(piece)
            while lines := b"".join(map(self._line, islice(requests, _AT_ONCE))):
                yield lines
                await asyncio.sleep(0)
        splitter.end()

    def _line(self, raw: bytes) -> bytes:
        if self.count == self._most:
            raise RequestError(
                "invalid_body", f"requests: Send at most {self._most:,} of them.", "requests"
            )
        try:
            return self._written(raw)
        except RequestError as error:
            raise _within(f"requests.{self.count}", error) from None

    def _written(self, raw: bytes) -> bytes:
        request, params = read_nested(raw, "params", "The request", "`params`")
        _check_members(request.members)
        if params is None:
            raise RequestError("invalid_body", "Must be an object: that of a message.", "params")
        try:
            self._check_params(params)
        except RequestError as error:
            raise _within("params", error) from None
        custom_id = self._noted(request.members["custom_id"])
        return _LINE % (orjson.dumps(custom_id), params.raw.translate(_ON_ONE_LINE))

    def _check_params(self, params: JsonObject) -> None:
        model = params.members.get("model")
        if not isinstance(model, str):
            raise RequestError("invalid_body", "Name a model.", "model")
        self._find(check_model(model))
        if params.members.get("stream") not in (None, False):
            raise RequestError("streaming_unsupported", "Nothing streams in a batch.", "stream")

    def _noted(self, custom_id: str) -> str:
        place = self.count
        first = self._places.setdefault(custom_id, place)
        if first != place:
            raise RequestError(
                "invalid_body", f"{custom_id!r} is that of requests.{first} already.", "custom_id"
            )
        return custom_id


def _check_members(members: dict[str, Any]) -> None:
    for key in members.keys() - _MEMBERS:
        raise RequestError("invalid_body", "Nothing takes this.", key[:100])
    custom_id = members.get("custom_id")
    if not isinstance(custom_id, str) or not _CUSTOM_ID.fullmatch(custom_id):
        raise RequestError(
            "invalid_body", "Must be 1 to 64 letters, digits, `_` and `-`.", "custom_id"
        )


def _within(place: str, error: RequestError) -> RequestError:
    """Return the refusal that tells that it is about something at `place`."""
    param = f"{place}.{error.param}" if error.param else place
    words = error.message.removeprefix(f"{error.param}: ")
    return RequestError(error.code, f"{param}: {words}", param, retry_after_s=error.retry_after_s)
