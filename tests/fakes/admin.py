"""A fake of the routes that the admin verbs use, served by a thread: what it holds can be read.

Two keys open it: ADMIN_KEY everything, USER_KEY only /v1. Set `page` for the size of a page,
`broken` for refusals that the next submits get, one each, `older` for a server that takes no
uploads, `cut` for so many answers to uploads that end after their first line.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from schemas.errors import DOOR_ERRORS, RequestError

ADMIN_KEY = "psk_" + "a" * 43
USER_KEY = "psk_" + "u" * 43
_NULL = (
    *("not_before", "started_at", "finished_at", "position", "eta_s", "waiting_for"),
    *("target", "response", "error", "usage", "expires_at"),
)
EVIL = "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b2J\u202e[bold]x[/bold]\nnext"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def letter(number: int, model: str = "llama", tenant: str = "default") -> dict[str, Any]:
    """Return a dead letter as the server tells it."""
    return {
        **request(f"req_00{number:032x}", model, "failed"),
        "tenant": tenant,
        "finished_at": 1_790_000_100.0,
        "error": {"type": "x", "code": "attempts_exhausted", "message": EVIL, "param": None},
        "redrive_of": None,
        "redriven_as": None,
    }


def request(request_id: str, model: str = "llama", status: str = "queued") -> dict[str, Any]:
    """Return a request object."""
    return {
        "id": request_id,
        "object": "request",
        "status": status,
        "model": model,
        "endpoint": "/v1/chat/completions",
        "priority": "normal",
        "tenant": "default",
        "created_at": 1_790_000_000.0,
        "deadline": 1_790_086_400.0,
        "attempts": 0,
        "metadata": {},
        **dict.fromkeys(_NULL),
    }


class FakeAdmin:
    """What the fake holds, and its routes."""

    def __init__(self) -> None:
        self.url = ""
        self.page = 2
        self.letters = {one["id"]: one for one in map(letter, range(5))}
        self.requests: dict[str, dict[str, Any]] = {}
        self.submits = 0
        self.bodies: list[dict[str, Any]] = []
        self.foreign = [{"reason": "not msgpack", "body": EVIL, "filed_at": 1_790_000_000.0}]
        self.broken: list[str] = []
        self.older = False
        self.cut = self.uploads = 0
        self.states = {"models/llama": "running", "backends/gpu": "running"}

    def add(self, model: str, status: str, count: int) -> None:
        """Hold some requests more."""
        for _ in range(count):
            made = request(f"req_01{len(self.requests):032x}", model, status)
            self.requests[made["id"]] = made

    def app(self) -> web.Application:
        """Return the routes."""

        @web.middleware
        async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
            refused = _unless_known(request)
            try:
                return await handler(request) if refused is None else refused
            except KeyError:
                return _refusal("request_not_found")

        app = web.Application(middlewares=[checked], client_max_size=16 * 1024 * 1024)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/requests", self._list_requests)
        app.router.add_post("/v1/requests", self._submit)
        app.router.add_post("/v1/requests:bulk", self._submit_many)
        app.router.add_get("/v1/requests/{id}", self._read)
        app.router.add_post("/v1/requests/cancel", self._cancel_some)
        app.router.add_post("/admin/v1/requests/cancel", self._cancel_some)
        app.router.add_post("/v1/requests/{id}/cancel", self._cancel)
        app.router.add_get("/admin/v1/models", self._admin_models)
        app.router.add_get("/admin/v1/backends", self._backends)
        app.router.add_post("/admin/v1/{kind}/{name}/{verb:pause|resume|drain}", self._switch)
        app.router.add_get("/admin/v1/dead-letters", self._list_letters)
        app.router.add_get("/admin/v1/dead-letters/foreign", self._list_foreign)
        app.router.add_delete("/admin/v1/dead-letters/foreign", self._purge_foreign)
        app.router.add_get("/admin/v1/dead-letters/{id}", self._show_letter)
        app.router.add_delete("/admin/v1/dead-letters/{id}", self._purge_letter)
        app.router.add_post("/admin/v1/dead-letters/{id}/redrive", self._redrive)
        return app

    async def _models(self, _asked: web.Request) -> web.Response:
        waiting = {"high": 0, "normal": 3, "low": 0, "batch": 0}
        load = {"slug": "llama", "waiting": 3, "running": 1, "slots": 4, "priorities": waiting}
        return _listed([{"id": "llama", "object": "model", "penstock": load}])

    async def _submit(self, asked: web.Request) -> web.Response:
        if self.broken:
            return _refusal(self.broken.pop(0))
        accepted = self._accept(asked.headers["Idempotency-Key"], await asked.json())
        return web.json_response(accepted, status=202)

    async def _submit_many(self, asked: web.Request) -> web.Response:
        if self.older:
            return _refusal("route_not_found")
        self.uploads += 1
        told = []
        for number, line in enumerate((await asked.read()).splitlines(), start=1):
            body = json.loads(line)
            key = body.pop("idempotency_key")
            if self.broken:
                refused = RequestError(self.broken.pop(0))
                told.append({"line": number, "status_code": refused.status, **refused.as_dict()})
            else:
                accepted = self._accept(key, body)
                told.append({"line": number, "id": accepted["id"], "status": accepted["status"]})
        if self.cut:
            self.cut -= 1
            del told[1:]
        text = "".join(json.dumps(each) + "\n" for each in told)
        return web.Response(text=text, content_type="application/x-ndjson")

    def _accept(self, key: str, body: dict[str, Any]) -> dict[str, Any]:
        request_id = f"req_00{hashlib.sha256(key.encode()).hexdigest()[:32]}"
        if request_id not in self.requests:
            self.submits += 1
            self.bodies.append(body)
            self.requests[request_id] = request(request_id, str(body["body"].get("model")))
        return self.requests[request_id]

    async def _read(self, asked: web.Request) -> web.Response:
        found = self.requests[asked.match_info["id"]]
        if found["model"] == "slow":
            await asyncio.sleep(min(float(asked.query.get("wait", "0")), 0.5))
            return web.json_response(found)
        if found["status"] == "queued":
            answer = {"status_code": 200, "body": {"said": EVIL}}
            found |= {"status": "completed", "response": answer}
        return web.json_response(found)

    async def _cancel(self, asked: web.Request) -> web.Response:
        found = self.requests[asked.match_info["id"]]
        found["status"] = "cancelled"
        return web.json_response(found)

    async def _cancel_some(self, asked: web.Request) -> web.Response:
        wanted = await asked.json()
        wanted.pop("after", None)
        matching = [
            one
            for one in self.requests.values()
            if wanted.items() <= one.items() and one["status"] in ("queued", "in_progress")
        ]
        for one in matching[: self.page]:
            one["status"] = "cancelled"
        told = {"cancelled": len(matching[: self.page]), "last_id": "req_00" + "0" * 32}
        return web.json_response({**told, "has_more": len(matching) > self.page})

    async def _list_requests(self, asked: web.Request) -> web.Response:
        return self._paged(asked, self.requests, ("model", "status"))

    async def _list_letters(self, asked: web.Request) -> web.Response:
        return self._paged(asked, self.letters, ("model", "tenant"))

    def _paged(
        self, asked: web.Request, held: dict[str, dict[str, Any]], filters: tuple[str, ...]
    ) -> web.Response:
        wanted = {name: asked.query[name].split(",") for name in filters if name in asked.query}
        matching = [
            one for one in held.values() if all(one[name] in wanted[name] for name in wanted)
        ]
        ids = [one["id"] for one in matching]
        start = ids.index(asked.query["after"]) + 1 if "after" in asked.query else 0
        size = min(self.page, int(asked.query["limit"]))
        return _listed(matching[start : start + size], start + size < len(matching))

    async def _admin_models(self, _asked: web.Request) -> web.Response:
        targets = [{"backend": "gpu", "model": "meta/llama", "weight": 1.0}]
        shown = {"id": "llama", "object": "model", "slug": "llama", "targets": targets}
        load = {"priorities": {"high": 0}, "waiting": 3, "running": 1, "slots": 4}
        state = self.states["models/llama"]
        return _listed([{**shown, **load, "state": state, "aliases": ["l"], "max_queued": 1_000}])

    async def _backends(self, _asked: web.Request) -> web.Response:
        shown = {"id": "gpu", "object": "backend", "kind": "openai", "urls": ["http://gpu/v1"]}
        state = self.states["backends/gpu"]
        return _listed(
            [{**shown, "state": state, "concurrency": 4, "held": 1, "models": ["llama"]}]
        )

    async def _switch(self, asked: web.Request) -> web.Response:
        kind, name, verb = (asked.match_info[part] for part in ("kind", "name", "verb"))
        if f"{kind}/{name}" not in self.states:
            return _refusal("model_not_found" if kind == "models" else "backend_not_found")
        state = {"pause": "paused", "resume": "running", "drain": "draining"}[verb]
        self.states[f"{kind}/{name}"] = state
        return web.json_response({"id": name, "object": kind[:-1], "state": state})

    async def _show_letter(self, asked: web.Request) -> web.Response:
        found = self.letters[asked.match_info["id"]]
        return web.json_response({**found, "request": {"model": "llama", "user": EVIL}})

    async def _purge_letter(self, asked: web.Request) -> web.Response:
        request_id = asked.match_info["id"]
        del self.letters[request_id]
        return web.json_response({"id": request_id, "object": "dead_letter", "deleted": True})

    async def _redrive(self, asked: web.Request) -> web.Response:
        found = self.letters[asked.match_info["id"]]
        found["redriven_as"] = found["id"].replace("req_00", "req_02")
        made = request(found["redriven_as"], found["model"])
        return web.json_response({**made, "redrive_of": found["id"]}, status=202)

    async def _list_foreign(self, _asked: web.Request) -> web.Response:
        return _listed(self.foreign)

    async def _purge_foreign(self, _asked: web.Request) -> web.Response:
        count = len(self.foreign)
        self.foreign.clear()
        return web.json_response({"deleted": count})


def _unless_known(asked: web.Request) -> web.Response | None:
    """Return the refusal of a caller whose key does not open this."""
    key = asked.headers.get("Authorization", "").removeprefix("Bearer ")
    if key not in (ADMIN_KEY, USER_KEY):
        return _refusal("invalid_api_key")
    if asked.path.startswith("/admin/") and key != ADMIN_KEY:
        return _refusal("not_admin")
    return None


def _listed(items: list[dict[str, Any]], has_more: bool = False) -> web.Response:
    ids = [item["id"] for item in items if "id" in item]
    first, last = (ids[0], ids[-1]) if ids else (None, None)
    told = {"object": "list", "data": items, "first_id": first, "last_id": last}
    return web.json_response({**told, "has_more": has_more})


def _refusal(code: str) -> web.Response:
    kind = DOOR_ERRORS[code]
    headers = {} if kind.retry_after_s is None else {"Retry-After": "0"}
    return web.json_response(RequestError(code).as_dict(), status=kind.status, headers=headers)


@contextmanager
def fake_admin() -> Iterator[FakeAdmin]:
    """Serve a fake on a port of its own until the end of the block."""
    fake, ready = FakeAdmin(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(10)
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
