"""A running Penstock in front of the fake backend, and the check that nothing has harmed it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.e2e.wire import Told, ask
from tests.fakes.stack import Setup, Stack, backend_process

GROWTH_KIB = 20 * 1024
CONCURRENCY = 8
FAKE = "fake"


@dataclass(frozen=True, slots=True)
class Door:
    """One door of a stack, and the backend behind it."""

    stack: Stack
    backend_url: str
    key: str | None = None

    def as_key(self, key: str | None) -> Door:
        """Return the same door as another caller finds it."""
        return replace(self, key=key)

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Told:
        """Send one request; a `body` that is not bytes is sent as JSON."""
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if headers is None else dict(headers)
        if self.key is not None:
            sent.setdefault("Authorization", f"Bearer {self.key}")
        return ask(self.stack.url, method, path, raw, sent, timeout_s)

    def chat(self, model: str, tag: str = "", headers: Mapping[str, str] | None = None) -> Told:
        """Make a held call."""
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.ask("POST", "/v1/chat/completions", chat_body(model, tag), sent)

    def submit(self, model: str, **fields: Any) -> str:
        """Submit a request that must be accepted, and return its id."""
        told = self.ask("POST", "/v1/requests", {"body": chat_body(model), **fields})
        assert told.status == 202, told
        request_id: str = told.json["id"]
        assert told.headers["location"] == f"/v1/requests/{request_id}"
        return request_id

    def ended(self, request_id: str, within_s: float = 30.0) -> dict[str, Any]:
        """Wait for the end of a request and return its object."""
        until = time.monotonic() + within_s
        while True:
            told = self.ask("GET", f"/v1/requests/{request_id}?wait=5")
            assert told.status == 200, told
            seen: dict[str, Any] = told.json
            if seen["status"] not in ("queued", "in_progress"):
                return seen
            assert time.monotonic() < until, seen

    def assert_well(self) -> None:
        """Assert that the next request is answered."""
        told = self.chat("echo")
        assert told.status == 200, told

    def ledger(self) -> dict[str, Any]:
        """Return the backend's own account."""
        told: dict[str, Any] = ask(self.backend_url, "GET", "/ledger").json
        return told

    def calls_of(self, request_id: str) -> list[dict[str, Any]]:
        """Return the backend's calls of one request."""
        return [call for call in self.ledger()["calls"] if call["id"] == request_id]

    def assert_at_rest(self, within_s: float = 15) -> None:
        """Assert that soon nothing waits, nothing runs and no slot is held."""
        until = time.monotonic() + within_s
        while True:
            items = self.ask("GET", "/v1/models").json["data"]
            states = [item["penstock"] for item in items]
            busy = [s for s in states if s["waiting"] or s["running"]]
            if not busy:
                return
            assert time.monotonic() < until, busy
            time.sleep(0.2)


def chat_body(model: str, tag: str = "") -> dict[str, Any]:
    """Return a small chat body."""
    return {"model": model, "user": tag, "messages": [{"role": "user", "content": "hello"}]}


@contextmanager
def open_door(
    directory: Path,
    setup: Setup,
    models: Sequence[str],
    more_models: Mapping[str, Mapping[str, Any]] | None = None,
    timeout_s: float = 30.0,
    key: str | None = None,
    growth_kib: int = GROWTH_KIB,
) -> Iterator[Door]:
    """Serve `models` once each without a retry; at the end nothing may have crashed or swollen."""
    served: dict[str, Mapping[str, Any]] = {
        name: {"targets": [{"backend": FAKE}], "retry": {"max_attempts": 1}} for name in models
    }
    with backend_process(directory) as (url, _):
        fake = {"urls": [f"{url}/v1"], "concurrency": CONCURRENCY, "timeout_s": timeout_s}
        whole = replace(
            setup,
            backends={FAKE: fake, **setup.backends},
            models={**served, **(more_models or {})},
        )
        with Stack(directory, whole) as stack:
            door = Door(stack, url, key)
            for _ in range(20):
                door.assert_well()
            before = _rss(stack)
            yield door
            _assert_unharmed(door, before, growth_kib)


def _rss(stack: Stack) -> dict[str, int]:
    return {name: process.memory_kib() for name, process in stack.processes.items()}


def _assert_unharmed(door: Door, before: dict[str, int], growth_kib: int) -> None:
    stack = door.stack
    assert not stack.died(), stack.logs()
    door.assert_well()
    door.assert_at_rest()
    assert door.ledger()["high_water"] <= CONCURRENCY
    grown = {name: kib - before[name] for name, kib in _rss(stack).items()}
    print(f"RSS growth in KiB: {grown}")
    assert max(grown.values()) < growth_kib, grown
    broken = [name for name, process in stack.processes.items() if process.tracebacks()]
    assert not broken, stack.logs()
