"""An OpenAI-shaped fake backend whose model names choose how it behaves.

`echo`, `slow-<ms>`, `jitter-<lo>-<hi>`, `exp-<mean ms>` (exponential) answer well;
`tests.fakes.faults` lists the others, and `tests.fakes.streams` those that matter to a stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import signal
from contextlib import suppress
from email import message_from_bytes
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.fakes import faults, messages
from tests.fakes.answers import answer, latency_s, speech, tag_of
from tests.fakes.ledger import Ledger
from tests.fakes.streams import stream

MODELS = ("echo", "slow-100", "jitter-50-150")
MAX_BODY = 64 * 1024 * 1024


class Backend:
    """The fake backend on a loopback port of this process: `async with Backend() as backend`."""

    def __init__(
        self, port: int = 0, ledger: Path | None = None, models: tuple[str, ...] = MODELS
    ) -> None:
        self.port = port
        self.models = models
        self.ledger = Ledger(ledger)
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The base URL, as a backend is configured with."""
        return f"http://127.0.0.1:{self.port}/v1"

    async def __aenter__(self) -> Self:
        self.ledger.__enter__()
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/ledger", self._read_ledger)
        app.router.add_post("/v1/{endpoint:.+}", self._serve)
        # Without handler_cancellation a call whose caller died would count as open until its end.
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=1024)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self.ledger.__exit__(kind, error, trace)

    async def _list_models(self, request: web.Request) -> web.Response:
        data = [{"id": name, "object": "model", "owned_by": "fake"} for name in self.models]
        return web.json_response({"object": "list", "data": data})

    async def _read_ledger(self, request: web.Request) -> web.Response:
        if "summary" in request.query:
            return web.json_response(self.ledger.summary())
        if "answered_from" in request.query:
            since = int(request.query["answered_from"])
            return web.json_response({"answered": self.ledger.answered[since:]})
        return web.json_response(self.ledger.as_dict(int(request.query.get("since", "0"))))

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        endpoint = request.match_info["endpoint"]
        body = await request.read()
        asked = _read(body, request.headers.get("Content-Type", ""))
        model = "redirected" if endpoint == "redirected" else str(asked.get("model", ""))
        nonce = secrets.token_hex(8)
        request_id = request.headers.get("x-penstock-id", "")
        call = self.ledger.begin(request_id, model, tag_of(asked), nonce, body)
        aborted, status = True, 0
        try:
            fault = faults.find(model)
            if fault is not None:
                response = await fault(request)
            elif asked.get("stream") is True:
                calls = sum(each.id == request_id for each in self.ledger.calls)
                response = await stream(request, endpoint, nonce, asked, calls)
            else:
                response = await _behave(endpoint, model, nonce, asked)
            aborted, status = False, response.status
            return response
        except ConnectionError:
            # The caller hung up while bytes were being written: there is nobody to answer.
            return web.Response()
        finally:
            self.ledger.finish(call, aborted=aborted, status=status)


async def _behave(
    endpoint: str, model: str, nonce: str, asked: dict[str, Any]
) -> web.StreamResponse:
    await asyncio.sleep(latency_s(model))
    if endpoint == messages.ENDPOINT and "max_tokens" not in asked:
        return web.json_response(messages.REFUSAL, status=400)
    if endpoint == "audio/speech":
        return web.Response(body=speech(nonce), content_type="audio/mpeg")
    return web.json_response(answer(endpoint, model, nonce, asked), headers={"x-fake-nonce": nonce})


def _read(body: bytes, kind: str) -> dict[str, Any]:
    """Return the members of a JSON object, or the text fields of a form."""
    if kind.startswith("multipart/form-data"):
        form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
        return {
            str(part.get_param("name", header="content-disposition")): part.get_payload()
            for part in form.walk()
            if not part.is_multipart() and part.get_filename() is None
        }
    try:
        asked = json.loads(body)
    except ValueError:
        return {}
    return asked if isinstance(asked, dict) else {}


async def _run(port: int, ledger: Path | None, models: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parent = os.getppid()
    async with Backend(port, ledger, models) as backend:
        print(f"ready {backend.url}", flush=True)
        while not stop.is_set() and os.getppid() == parent:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1)


def main() -> None:
    """Serve until SIGTERM, or until the process that started this one is gone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ledger", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    options = parser.parse_args()
    asyncio.run(_run(options.port, options.ledger, tuple(options.models.split(","))))


if __name__ == "__main__":
    main()
