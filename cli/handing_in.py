"""Many requests handed in by one call, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from cli.client import Client, Refused, Unreachable
from cli.lines import Line

_BULK = "/v1/requests:bulk"
# An older server has no such path.
_UNKNOWN_PATH = (404, 405)
_AT_ONCE = 64
_WRONG_KEY = 401
Outcome = dict[str, Any] | Refused | Unreachable


class HandingIn:
    """Submits lines under keys of their numbers; to repeat it is harmless.

    `whole`: what is returned of one that was accepted is its whole object, else its id and status.
    """

    def __init__(self, client: Client, key_prefix: str, *, whole: bool) -> None:
        self._client = client
        self._key_prefix = key_prefix
        self._whole = whole
        self._alone = whole
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def submit(self, lines: Sequence[Line]) -> list[Outcome]:
        """Return what became of each. Raises Refused or Unreachable where it concerns them all."""
        if len(lines) > 1 and not self._alone:
            try:
                return _outcomes(lines, await self._client.upload(_BULK, self._body(lines)))
            except Refused as error:
                if error.status not in _UNKNOWN_PATH:
                    raise
                self._alone = True
        return await asyncio.gather(*map(self._submit_alone, lines))

    async def _submit_alone(self, line: Line) -> Outcome:
        async with self._places:
            try:
                accepted = await self._client.submit(line.request, self._key(line))
            except (Refused, Unreachable) as error:
                if isinstance(error, Refused) and error.status == _WRONG_KEY:
                    raise
                return error
        return accepted if self._whole else _slim(accepted)

    def _key(self, line: Line) -> str:
        return f"{self._key_prefix}-{line.number}"

    def _body(self, lines: Sequence[Line]) -> bytes:
        """Return JSON lines; the server knows each as the request that it is by itself."""
        keyed = [
            b'{"idempotency_key":' + orjson.dumps(self._key(line)) + b"," + line.request[1:]
            for line in lines
        ]
        return b"\n".join(keyed) + b"\n"


def _outcomes(lines: Sequence[Line], told: Sequence[dict[str, Any]]) -> list[Outcome]:
    by_line = {each.get("line"): each for each in told}
    return [_outcome(by_line.get(number)) for number in range(1, len(lines) + 1)]


def _outcome(told: dict[str, Any] | None) -> Outcome:
    if told is None:
        return Unreachable("the server's answer was cut short")
    if "error" in told:
        return Refused(told["status_code"], told["error"], told.get("retry_after_s"))
    return _slim(told)


def _slim(accepted: dict[str, Any]) -> dict[str, Any]:
    """Return what must be kept of a request that stands in line."""
    return {"id": accepted["id"], "status": accepted["status"]}
