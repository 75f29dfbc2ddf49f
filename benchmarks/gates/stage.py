"""A gate's Penstock: what waits before it starts, the running processes, the backend's account."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.gates.backlog import Old, chat, filled, records
from benchmarks.gates.seen import Seen
from schemas.envelope import Envelope
from schemas.keys import hash_of, new_key
from schemas.record import Record
from tests.e2e.wire import ask
from tests.fakes.stack import Setup, Stack, backend_process

ADMIN = "an-admin-key-for-gates"
_LOOK_EVERY_S = 0.2
_WARM_S = 20.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A model with a backend of its own: `answers` is the fake backend's behaviour."""

    slots: int
    answers: str


@dataclass(frozen=True)
class Plan:
    """What a gate needs: models by name, tenants with their limits, and what waits."""

    models: Mapping[str, Serving]
    tenants: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    waiting: Callable[[], Sequence[Old]] = tuple


@dataclass(frozen=True)
class Stage:
    """Where gates run: a directory of their own, and an engine by `setup`.

    On RabbitMQ and Redis `setup` names both; each gate has a namespace of its own there.
    """

    directory: Path
    setup: Setup

    @contextmanager
    def running(self, plan: Plan) -> Iterator[Running]:
        """Run the plan; at its end nothing may have crashed."""
        directory = self.directory / secrets.token_hex(4)
        directory.mkdir(parents=True)
        keys = {tenant: new_key() for tenant in plan.tenants}
        with backend_process(directory) as (url, _):
            setup = _setup(self.setup, plan, keys, url)
            envelopes = asyncio.run(filled(setup, directory / "data", plan.waiting()))
            with Stack(directory, setup) as stack:
                running = Running(stack, url, keys, envelopes)
                yield running
                assert running.stopped or not stack.died(), stack.logs()
                broken = [name for name, part in stack.processes.items() if part.tracebacks()]
                assert not broken, stack.logs()


@dataclass
class Running:
    """A running Penstock; `waiting` are the envelopes that waited before it started."""

    stack: Stack
    backend_url: str
    keys: Mapping[str, str]
    waiting: Sequence[Envelope]
    stopped: bool = False

    @property
    def url(self) -> str:
        """The door."""
        return self.stack.url

    def warm(self) -> None:
        """Return once every model is served: each has had one request of `high` called."""
        told = [
            ask(
                self.url,
                "POST",
                "/v1/requests",
                json.dumps({"body": chat(model, "warm"), "priority": "high"}).encode(),
                {"Content-Type": "application/json", "Authorization": f"Bearer {ADMIN}"},
            )
            for model in self.stack.setup.models
        ]
        ids = [answer.json["id"] for answer in told]
        assert self.seen_when(lambda seen: seen.has(ids), _WARM_S).has(ids), self.stack.logs()

    def seen(self) -> Seen:
        """Return what the backend has seen so far."""
        return Seen(ask(self.backend_url, "GET", "/ledger").json["calls"])

    def seen_when(self, enough: Callable[[Seen], bool], within_s: float) -> Seen:
        """Wait until the backend has seen enough, or for so long; return all it has seen."""
        until = time.monotonic() + within_s
        while True:
            seen = self.seen()
            if enough(seen) or time.monotonic() > until:
                return seen
            time.sleep(max(_LOOK_EVERY_S, len(seen.calls) / 20_000))

    def records(self, ids: Sequence[str]) -> list[Record]:
        """Stop Penstock for good, and return what it has kept of these requests."""
        self.stopped = True
        for process in self.stack.processes.values():
            assert process.terminate() == 0, self.stack.logs()
        return asyncio.run(records(self.stack.setup, self.stack.directory / "data", ids))


def _setup(setup: Setup, plan: Plan, keys: Mapping[str, str], backend_url: str) -> Setup:
    namespace = f"g{secrets.token_hex(4)}"
    tenants = {
        name: {"models": ["*"], "keys": [{"name": "gate", "hash": hash_of(keys[name])}], **limits}
        for name, limits in plan.tenants.items()
    }
    return replace(
        setup,
        backends={
            name: {"urls": [f"{backend_url}/v1"], "concurrency": serving.slots}
            for name, serving in plan.models.items()
        },
        models={
            name: {"targets": [{"backend": name, "model": serving.answers}]}
            for name, serving in plan.models.items()
        },
        server={**setup.server, "namespace": namespace, "admin_key": ADMIN},
        more={"tenants": tenants},
    )
