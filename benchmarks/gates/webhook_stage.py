"""A Penstock that sends webhooks to a receiver on loopback, and requests that end at once."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.gates.stage import Stage
from tests.e2e.wire import ask
from tests.fakes.receiver import Receiver, receiving
from tests.fakes.stack import Stack, backend_process

_MODEL = "echo"
_AT_ONCE = 16
_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Registered:
    """An endpoint and what signs for it."""

    id: str
    secret: str


@dataclass(frozen=True)
class Hooked:
    """A running Penstock and the receiver it may send to."""

    stack: Stack
    receiver: Receiver

    def endpoint(self, path: str) -> Registered:
        """Register a path of the receiver for every completion."""
        asked = {
            "name": path,
            "url": f"{self.receiver.url}/{path}",
            "event_types": ["request.completed"],
        }
        made = self._ask("/v1/webhook_endpoints", asked)
        return Registered(made["id"], made["signing_secret"])

    def disable(self, endpoint: Registered, *, disabled: bool) -> None:
        """Let an endpoint be told nothing, or everything again."""
        self._ask(f"/v1/webhook_endpoints/{endpoint.id}", {"disabled": disabled})

    def _ask(self, path: str, asked: dict[str, Any]) -> dict[str, Any]:
        told = ask(self.stack.url, "POST", path, json.dumps(asked).encode())
        assert told.status == 200, told
        answered: dict[str, Any] = told.json
        return answered

    async def submitted(self, count: int, every_s: float = 0.0) -> list[str]:
        """Submit so many requests and return their ids; a server that is away is waited for."""
        room = asyncio.Semaphore(_AT_ONCE)
        async with aiohttp.ClientSession() as session:

            async def one() -> str:
                async with room:
                    return await self._submit(session)

            tasks = [asyncio.create_task(one()) async for _ in _paced(count, every_s)]
            return await asyncio.gather(*tasks)

    async def _submit(self, session: aiohttp.ClientSession) -> str:
        """Submit one request once, however often this has to be tried."""
        key = {"Idempotency-Key": secrets.token_hex(8)}
        body = {"body": {"model": _MODEL, "messages": [{"role": "user", "content": "hello"}]}}
        url = f"{self.stack.url}/v1/requests"
        while True:
            try:
                async with session.post(url, json=body, headers=key) as response:
                    if response.status == 202:
                        request_id: str = (await response.json())["id"]
                        return request_id
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(_PAUSE_S)


@contextmanager
def hooked(stage: Stage, timeout_s: float, retry_s: Sequence[float]) -> Iterator[Hooked]:
    """Run a Penstock with two workers that sends webhooks to loopback; none may have failed."""
    directory: Path = stage.directory / secrets.token_hex(4)
    directory.mkdir(parents=True)
    with receiving() as receiver, backend_process(directory) as (url, _):
        hooks = {
            "allow": [f"127.0.0.1:{receiver.port}"],
            "timeout_s": timeout_s,
            "retry_s": list(retry_s),
        }
        setup = replace(
            stage.setup,
            backends={"fake": {"urls": [f"{url}/v1"], "concurrency": 16}},
            models={_MODEL: {"targets": [{"backend": "fake"}]}},
            server={**stage.setup.server, "namespace": f"g{secrets.token_hex(4)}"},
            more={"webhooks": hooks},
            workers=2,
        )
        with Stack(directory, setup) as stack:
            yield Hooked(stack, receiver)
            broken = [name for name, part in stack.processes.items() if part.tracebacks()]
            assert not broken, stack.logs()


async def _paced(count: int, every_s: float) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await asyncio.sleep(every_s)
