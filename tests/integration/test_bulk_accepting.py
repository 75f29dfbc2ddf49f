"""Many accepted together: each line has its own outcome, and what failed half-way does not run."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from api.admission import Admission
from api.auth import Caller
from api.backlog import Backlog
from api.bulk.accepting import Accepted, Accepting, Outcome
from api.catalog import Catalog
from api.intake import Intake
from api.reading import submitted_in_bulk
from api.responses.preparing import Preparing
from api.settings import Settings
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Served, State
from schemas.config import Config
from schemas.envelope import Envelope
from schemas.errors import EngineError, QueueUnavailable, RequestError, StorageFull
from schemas.lifecycle import Status
from tests.fakes.results import make_slot
from tests.integration.embedded import rows, running

ACME = Caller("acme")
CONFIG = {
    "server": {"max_queued": 12},
    "tenants": {
        "acme": {"models": ["*"], "max_queued": 8},
        "slow": {"models": ["*"], "rpm": 60},
    },
}


@dataclass
class Stage:
    """A door on an embedded engine that serves `m` and `n`; `drained` takes nothing new."""

    engine: EmbeddedEngine
    catalog: Catalog
    accepting: Accepting
    settings: Settings

    def intakes(self, *lines: bytes | None) -> list[Intake]:
        """Return plain lines, or those that are given."""
        plain = b'{"body": {"model": "m"}}'
        return [submitted_in_bulk(line or plain, None, None, self.settings) for line in lines]

    async def accept(self, *lines: bytes | None, caller: Caller = ACME) -> list[Outcome]:
        """Accept lines together."""
        return await self.accepting.accept(self.intakes(*lines), caller)

    async def statuses(self, outcomes: Sequence[Outcome]) -> list[str]:
        """Return what each was told: its status as it is now, or the code of its refusal."""
        return [await self._told(each) for each in outcomes]

    async def _told(self, outcome: Outcome) -> str:
        if isinstance(outcome, Accepted):
            record = await self.engine.store.get(outcome.id)
            assert record is not None
            return record.status.value
        return outcome.code if isinstance(outcome, RequestError) else type(outcome).__name__


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """A stage, without any worker."""
    config = Config.model_validate(CONFIG)
    async with running(directory) as engine:
        await engine.members.beat("worker", [Served(name, 1) for name in ("m", "n", "drained")])
        await engine.switches.set("model", "drained", State.DRAINING)
        catalog, settings = Catalog(engine, config), Settings(config)
        await catalog.refresh()
        await catalog.switches.refresh()
        backlog = Backlog(engine, catalog, config)
        preparing = Preparing(engine, catalog, settings)
        admission = Admission(engine, catalog, backlog, preparing, config.server)
        accepting = Accepting(engine, admission, catalog, backlog, config.server.namespace)
        yield Stage(engine, catalog, accepting, settings)
        await accepting.stop()
        await admission.stop()


def line(model: str, **fields: str) -> bytes:
    more = "".join(f', "{name}": {value}' for name, value in fields.items())
    return f'{{"body": {{"model": "{model}"}}{more}}}'.encode()


async def test_each_line_has_the_outcome_that_it_would_have_alone(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        told = await stage.accept(
            None,
            line("nobody"),
            line("n", priority='"high"'),
            line("drained"),
            line("m", endpoint='"/v1/responses"'),
            b'{"endpoint": "/v1/responses", "body": {"model": "m", "input": "Hi"}}',
            line("m", stream="true"),
        )
        assert await stage.statuses(told) == [
            "queued",
            "model_not_found",
            "queued",
            "draining",
            "invalid_body",
            "queued",
            "queued",
        ]
        nobody = Caller("acme", models=("n",))
        told = await stage.accept(None, line("n"), caller=nobody)
        assert await stage.statuses(told) == ["model_not_allowed", "queued"]


async def test_caps_hold_to_the_line(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        keyed = [line("m", idempotency_key=f'"k{number}"') for number in range(8)]
        await stage.accept(*keyed[:4])
        told = await stage.accept(*keyed, *[None] * 2, keyed[0], keyed[0])
        assert await stage.statuses(told) == [
            *["queued"] * 8,
            *["tenant_queue_full"] * 2,
            "queued",
            "queued",
        ]
        told = await stage.accept(*[None] * 6, caller=Caller("globex"))
        assert await stage.statuses(told) == ["queued"] * 4 + ["queue_full"] * 2
        assert await stage.statuses(await stage.accept(line("n"), caller=Caller("x"))) == ["queued"]


async def test_a_limited_tenant_is_told_which_deadlines_are_out_of_reach(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        within = [line("m", timeout_s="2")] * 8
        told = await stage.accept(*within, caller=Caller("slow"))
        statuses = await stage.statuses(told)
        # One may start a second.
        assert statuses[0] == "queued"
        assert set(statuses) <= {"queued", "deadline_unreachable"}
        patient = await stage.accept(line("m", timeout_s="600"), caller=Caller("slow"))
        assert await stage.statuses(patient) == ["queued"]


async def test_what_is_there_is_not_refused_for_what_is_full(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        keyed = [line("m", idempotency_key=f'"k{number}"') for number in range(8)]
        first = await stage.accept(*keyed)
        again = await stage.accept(*keyed, line("m", idempotency_key='"new"'))
        assert [each.id for each in first if isinstance(each, Accepted)] == [
            each.id for each in again[:8] if isinstance(each, Accepted)
        ]
        assert all(isinstance(each, Accepted) and each.replayed for each in again[:8])
        assert await stage.statuses(again[8:]) == ["tenant_queue_full"]
        conflict = await stage.accept(line("n", idempotency_key='"k0"'))
        assert await stage.statuses(conflict) == ["idempotency_conflict"]
        # What is there already takes no room from others.
        for _ in range(3):
            await stage.accept(*keyed)
        others = await stage.accept(*[None] * 5, caller=Caller("globex"))
        assert await stage.statuses(others) == ["queued"] * 4 + ["queue_full"]


async def test_of_what_was_created_and_not_published_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:
        away = QueueUnavailable("away")

        async def some(envelopes: Sequence[Envelope]) -> list[EngineError | None]:
            return [away if number % 2 else None for number in range(len(envelopes))]

        keyed = [line("m", idempotency_key=f'"k{number}"') for number in range(4)]
        with monkeypatch.context() as patched:
            patched.setattr(stage.engine.queue, "publish_all", some)
            told = await stage.accept(*keyed)
        assert await stage.statuses(told) == ["queued", "QueueUnavailable"] * 2
        found = await rows(stage.engine, "SELECT status FROM requests ORDER BY seq")
        assert found == [("queued",), ("failed",)] * 2
        # A refusal was never told as a result: the same keys make new requests.
        again = await stage.accept(*keyed)
        assert await stage.statuses(again) == ["queued"] * 4
        assert [isinstance(each, Accepted) and each.replayed for each in again] == [True, False] * 2


async def test_what_a_worker_has_already_is_accepted_though_its_confirm_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:

        async def lost(envelopes: Sequence[Envelope]) -> list[EngineError | None]:
            for envelope in envelopes:
                await stage.engine.store.claim(envelope, make_slot())
            return [QueueUnavailable("lost") for _ in envelopes]

        monkeypatch.setattr(stage.engine.queue, "publish_all", lost)
        told = await stage.accept(None, None)
        assert [each.status for each in told if isinstance(each, Accepted)] == [Status.QUEUED] * 2


async def test_of_a_full_disk_nothing_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:

        def full() -> None:
            raise StorageFull("full")

        store: Any = stage.engine.store
        monkeypatch.setattr(store._space, "check", full)
        told = await stage.accept(None, line("nobody"), None)
        assert await stage.statuses(told) == ["StorageFull", "model_not_found", "StorageFull"]
        assert await rows(stage.engine, "SELECT id FROM requests") == []


async def test_a_store_that_is_away_refuses_each_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with staged(tmp_path) as stage:
        away = EngineError("away")

        async def fail(*_: Any) -> Any:
            raise away

        with monkeypatch.context() as patched:
            patched.setattr(stage.engine.store, "statuses", fail)
            told = await stage.accept(line("m", idempotency_key='"k"'), None)
        assert told == [away, away]
        assert await rows(stage.engine, "SELECT id FROM requests") == []


async def test_lines_are_listed_in_their_order(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        began = time.time()
        told = await stage.accept(*[None] * 8)
        ids = [each.id for each in told if isinstance(each, Accepted)]
        query = "SELECT id, accepted_at FROM requests ORDER BY accepted_at, id"
        found = await rows(stage.engine, query)
        assert [request_id for request_id, _ in found] == ids
        assert began - 1 < found[0][1] <= found[-1][1] < time.time() + 1
