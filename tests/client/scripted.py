"""A server that answers what a test has written down, one answer after the other."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

REQUEST_ID = "req_0a" + "0" * 32


@dataclass(frozen=True, slots=True)
class Step:
    """One answer; one that hangs up sends no more than its body, and no end of it."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs_up: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """One call that came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def told(status: str = "queued", **more: Any) -> Step:
    """Answer with a request."""
    return Step(202, json.dumps(request_json(status, **more)).encode())


def request_json(status: str = "queued", **more: Any) -> dict[str, Any]:
    """Return a request as the server tells it, with a field that this SDK does not know."""
    return {
        "id": REQUEST_ID,
        "object": "request",
        "status": status,
        "model": "m",
        "endpoint": "/v1/chat/completions",
        "priority": "normal",
        "tenant": "default",
        "created_at": 1.0,
        "deadline": 2.0,
        "attempts": 0,
        "metadata": {},
        "from_the_future": True,
        **more,
    }


def refused(status: int, code: str, **headers: str) -> Step:
    """Answer with an error in the server's shape."""
    error = {"message": f"It says {code}.", "type": "t", "param": None, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Step(status, json.dumps({"error": error}).encode(), named)


def events(*blocks: str, hangs_up: bool = False) -> Step:
    """Answer with server-sent events."""
    body = "".join(f"{block}\n\n" for block in blocks).encode()
    return Step(200, body, {"Content-Type": "text/event-stream; charset=utf-8"}, hangs_up)


class Scripted:
    """The server: `with Scripted([...]) as server`; all that follow get the last step."""

    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self.seen: list[Seen] = []
        self._lock = threading.Lock()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                scripted._answer(self)

            def do_POST(self) -> None:
                scripted._answer(self)

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._lock:
            seen = Seen(handler.command, handler.path, dict(handler.headers.items()), body)
            self.seen.append(seen)
            step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        length = len(step.body) + (10 if step.hangs_up else 0)
        handler.close_connection = step.hangs_up
        if step.hangs_up and not step.body:
            return
        handler.send_response(step.status)
        for name, value in step.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(step.body)
