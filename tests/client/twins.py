"""Both clients behind one face, so that a test is written once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import penstock
from penstock import Chunk, Outcome, Request, Result

Body = Mapping[str, Any]
Take = Callable[[Chunk], object]


class Twin(Protocol):
    """What either client can do; `chunks` hands out those of a stream."""

    async def submit(self, body: Body, **options: Any) -> Request: ...
    async def wait(self, request: Request | str, timeout_s: float | None = None) -> Request: ...
    async def result(self, request: Request | str, timeout_s: float | None = None) -> Result: ...
    async def cancel(self, request: Request | str) -> Request: ...
    async def chunks(self, take: Take, body: Body, **options: Any) -> Request: ...
    async def map(self, bodies: Iterable[Body], **options: Any) -> list[Outcome]: ...
    async def close(self) -> None: ...


class Waiting:
    """The client for programs that wait, in a thread."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.client = penstock.Client(url, **settings)

    async def submit(self, body: Body, **options: Any) -> Request:
        return await asyncio.to_thread(self.client.submit, body, **options)

    async def wait(self, request: Request | str, timeout_s: float | None = None) -> Request:
        return await asyncio.to_thread(self.client.wait, request, timeout_s)

    async def result(self, request: Request | str, timeout_s: float | None = None) -> Result:
        return await asyncio.to_thread(self.client.result, request, timeout_s)

    async def cancel(self, request: Request | str) -> Request:
        return await asyncio.to_thread(self.client.cancel, request)

    async def chunks(self, take: Take, body: Body, **options: Any) -> Request:
        def read() -> Request:
            with self.client.stream(body, **options) as stream:
                for chunk in stream:
                    take(chunk)
            return stream.request

        return await asyncio.to_thread(read)

    async def map(self, bodies: Iterable[Body], **options: Any) -> list[Outcome]:
        return await asyncio.to_thread(lambda: list(self.client.map(bodies, **options)))

    async def close(self) -> None:
        self.client.close()


class Asynchronous:
    """The client for asyncio."""

    def __init__(self, url: str, **settings: Any) -> None:
        self.client = penstock.AsyncClient(url, **settings)

    async def submit(self, body: Body, **options: Any) -> Request:
        return await self.client.submit(body, **options)

    async def wait(self, request: Request | str, timeout_s: float | None = None) -> Request:
        return await self.client.wait(request, timeout_s)

    async def result(self, request: Request | str, timeout_s: float | None = None) -> Result:
        return await self.client.result(request, timeout_s)

    async def cancel(self, request: Request | str) -> Request:
        return await self.client.cancel(request)

    async def close(self) -> None:
        await self.client.close()

    async def chunks(self, take: Take, body: Body, **options: Any) -> Request:
        async with self.client.stream(body, **options) as stream:
            async for chunk in stream:
                take(chunk)
        return stream.request

    async def map(self, bodies: Iterable[Body], **options: Any) -> list[Outcome]:
        return [outcome async for outcome in self.client.map(bodies, **options)]


KINDS: dict[str, Callable[..., Twin]] = {"sync": Waiting, "async": Asynchronous}
