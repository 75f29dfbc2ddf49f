"""Penstock's native requests as the demo makes them: submit, wait for the end, read the result."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import aiohttp

from demo.chat_server import MODEL
from demo.claims import DemoError

_WITHIN_S = 180.0
_ENDED = ("completed", "failed", "cancelled", "expired")

PROMPTS = (
    "What colour is the sky?",
    "Name a fruit.",
    "What is two plus two?",
    "Name a river.",
    "What do cows drink?",
    "Name a planet.",
    "Say hello.",
    "Name an animal.",
)


class Requests:
    """A client of one Penstock; every answer that is not the expected one is a DemoError."""

    def __init__(self, url: str) -> None:
        # A wait holds its connection for up to a minute.
        timeout = aiohttp.ClientTimeout(total=90)
        self._session = aiohttp.ClientSession(url, timeout=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def submit(self, number: int, priority: str, max_tokens: int) -> tuple[int, str]:
        """Submit a short prompt; return the status code and the id, which a refusal has not."""
        prompt = PROMPTS[number % len(PROMPTS)]
        body = {
            "model": MODEL,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        status, answer = await self._json(
            "POST", "/v1/requests", {"body": body, "priority": priority}
        )
        return status, str(answer.get("id", ""))

    async def get(self, request_id: str, wait_s: int = 0) -> dict[str, Any]:
        """Return the request object. Raises DemoError."""
        status, answer = await self._json("GET", f"/v1/requests/{request_id}?wait={wait_s}")
        if status != 200:
            raise DemoError(f"Penstock answered {status} when asked for {request_id}: {answer}")
        return answer

    async def ended(self, request_id: str) -> dict[str, Any]:
        """Return the request object once it has ended. Raises DemoError."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                while (seen := await self.get(request_id, wait_s=30))["status"] not in _ENDED:
                    pass
                return seen
        except TimeoutError:
            raise DemoError(f"{request_id} had not ended after {_WITHIN_S:.0f} s.") from None

    async def all_ended(
        self, request_ids: list[str], on_end: Callable[[], None]
    ) -> list[dict[str, Any]]:
        """Return all request objects, in the order of the ids, once all have ended."""

        async def one(request_id: str) -> dict[str, Any]:
            seen = await self.ended(request_id)
            on_end()
            return seen

        # gather, not a TaskGroup: the first DemoError should arrive as itself, not in a group.
        return list(await asyncio.gather(*(one(request_id) for request_id in request_ids)))

    async def result_hash(self, request_id: str) -> str:
        """Read the request again and return the SHA-256 of its stored result. Raises DemoError."""
        result = (await self.get(request_id))["response"]
        if result is None or result["status_code"] != 200:
            raise DemoError(f"{request_id} is completed but has no answer of a model: {result}")
        return hashlib.sha256(json.dumps(result, sort_keys=True).encode()).hexdigest()

    async def _json(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, dict[str, Any]]:
        try:
            async with self._session.request(method, path, json=body) as answer:
                told: dict[str, Any] = await answer.json()
                return answer.status, told
        except (aiohttp.ClientError, TimeoutError) as error:
            said = f"{type(error).__name__}: {error}"
            raise DemoError(f"Penstock did not answer: {said}") from None
