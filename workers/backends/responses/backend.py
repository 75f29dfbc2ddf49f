"""A backend that answers Responses, in its own words or in those of a chat completion."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from broker.scheduling.retry import Failure
from schemas.errors import RequestError
from schemas.responses.asked import read_asked
from schemas.responses.told import Origin
from schemas.result import MAX_RESULT_BYTES
from workers.backends.answers import parse_answer
from workers.backends.port import Answer, Backend, Call, CallFailed, Sink
from workers.backends.responses.building import Building
from workers.backends.responses.native import Retelling, native_body
from workers.backends.responses.reading import counted
from workers.backends.responses.to_chat import chat_body
from workers.backends.sse import data_of
from workers.backends.streamed import EVENT_STREAM

_CHAT = "/v1/chat/completions"
_JSON = "application/json"
# What is told takes more room than what the backend sent; a result must still hold it.
_MOST_BYTES = MAX_RESULT_BYTES // 2


class RespondingBackend:
    """Fills Backend: what is no Response is passed on to `inner`, and so is a native one's call."""

    def __init__(self, inner: Backend, *, native: bool) -> None:
        self._inner = inner
        self._native = native

    async def call(self, url: str, call: Call) -> Answer:
        """Make the call; the answer to a Responses request is a Response. Raises CallFailed."""
        if call.origin is None:
            return await self._inner.call(url, call)
        asked = parse_answer(call.body)
        if self._native:
            answer = await self._inner.call(url, replace(call, body=native_body(asked)))
            response = Retelling(call.origin, asked).whole(parse_answer(answer.body))
        else:
            answer = await self._inner.call(url, _as_chat(call, asked))
            building = _Chunks(call.origin, asked)
            building.take(parse_answer(answer.body))
            _, response = building.end()
        return Answer(200, _JSON, orjson.dumps(response), counted(response.get("usage")))

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        """Make the call; the events of a Responses request are those of a Response."""
        if call.origin is None:
            return await self._inner.stream(url, call, sink)
        asked = parse_answer(call.body)
        if self._native:
            native = _Native(Retelling(call.origin, asked, call.first_event), sink)
            answer = await self._inner.stream(url, replace(call, body=native_body(asked)), native)
            return Answer(200, EVENT_STREAM, native.told, answer.usage)
        building = _Chunks(call.origin, asked, call.first_event, sink)
        answer = await self._inner.stream(url, _as_chat(call, asked), building)
        last, response = building.end()
        await building.tell(last)
        return Answer(200, EVENT_STREAM, building.told, counted(response.get("usage")))

    async def models(self, url: str) -> list[str]:
        """Read the backend's list."""
        return await self._inner.models(url)


class _Telling:
    """Passes events on and keeps them for the result."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink
        self._kept: list[bytes] = []
        self._size = 0

    @property
    def told(self) -> bytes:
        return b"".join(event + b"\n\n" for event in self._kept)

    async def tell(self, events: list[bytes]) -> None:
        for event in events:
            self._size += len(event) + 2
            if self._size > _MOST_BYTES:
                raise CallFailed(Failure.UNUSABLE, f"its events are over {_MOST_BYTES} bytes")
            self._kept.append(event)
            if self._sink is not None:
                await self._sink(event)


class _Chunks(_Telling):
    """Is given the chunks of a chat completion and tells the events of the Response."""

    def __init__(
        self,
        origin: Origin,
        asked: Mapping[str, Any],
        first_event: int = 0,
        sink: Sink | None = None,
    ) -> None:
        super().__init__(sink)
        self._building = Building(origin, asked, first_event)

    async def __call__(self, data: bytes) -> None:
        chunk = data_of(data).strip()
        if chunk != b"[DONE]":
            await self.tell(self.take(parse_answer(chunk)))

    def take(self, chunk: Mapping[str, Any]) -> list[bytes]:
        try:
            return self._building.chunk(chunk)
        except ValueError as error:
            raise CallFailed(Failure.UNUSABLE, f"the backend's answer: {error}") from error

    def end(self) -> tuple[list[bytes], dict[str, Any]]:
        return self._building.end(time.time())


class _Native(_Telling):
    """Is given the events of a native backend and tells them as our own."""

    def __init__(self, retelling: Retelling, sink: Sink) -> None:
        super().__init__(sink)
        self._retelling = retelling

    async def __call__(self, data: bytes) -> None:
        await self.tell(self._retelling.event(parse_answer(data_of(data).strip())))


def _as_chat(call: Call, asked: Mapping[str, Any]) -> Call:
    """Return the chat completion that stands for the call.

    Raises CallFailed (refused) for what none can: the backend was native when it was accepted.
    """
    try:
        body = chat_body(read_asked(asked), asked["model"])
    except RequestError as error:
        answer = Answer(error.status, _JSON, orjson.dumps(error.as_dict()))
        raise CallFailed(Failure.REFUSED, error.message, answer) from error
    return replace(call, endpoint=_CHAT, body=body, origin=None)
