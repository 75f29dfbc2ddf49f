"""Submissions that fail half-way, and what the next one under the same name finds (PROTOCOL 1)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from api.admission import Admission
from api.auth import Caller
from api.backlog import Backlog
from api.catalog import Catalog
from api.intake import Intake, Terms
from api.responses.preparing import Preparing
from api.settings import Settings
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Served, State
from broker.scheduling.lanes import OPEN_WINDOW
from schemas.config import Config
from schemas.errors import QueueUnavailable, RequestError, StorageFull
from schemas.ids import derived_request_id
from schemas.lifecycle import Status
from schemas.priority import Lane, Priority
from tests.fakes.envelopes import make_envelope
from tests.integration.embedded import rows, running

CALLER = Caller()
BODY = b'{"model": "m"}'


@asynccontextmanager
async def admitting(directory: Path) -> AsyncIterator[tuple[Admission, EmbeddedEngine]]:
    """A door that serves the model `m`, and its engine."""
    config = Config.model_validate({})
    async with running(directory) as engine:
        await engine.members.beat("worker", [Served("m", 1)])
        catalog = Catalog(engine, config)
        await catalog.refresh()
        admission = Admission(
            engine,
            catalog,
            Backlog(engine, catalog, config),
            Preparing(engine, catalog, Settings(config)),
            config.server,
        )
        yield admission, engine
        await admission.stop()


def failing(error: Exception) -> Callable[..., Awaitable[Any]]:
    """Return a step of an engine that fails."""

    async def fail(*_args: object) -> None:
        raise error

    return fail


def intake(key: str | None = "k") -> Intake:
    terms = Terms(Priority.NORMAL, time.time() + 60, key=key)
    return Intake("/v1/requests", BODY, BODY, "m", (10, 13), "/v1/chat/completions", terms)


async def test_a_redrive_that_was_refused_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with admitting(tmp_path) as (admission, engine):
        letter = make_envelope()
        with monkeypatch.context() as away:
            away.setattr(engine.queue, "publish", failing(QueueUnavailable("away")))
            with pytest.raises(QueueUnavailable):
                await admission.redrive(letter)
        made = await admission.redrive(letter)
        assert (made.replayed, made.record.status) == (False, Status.QUEUED)
        assert (await admission.redrive(letter)).replayed
        found = await engine.store.get(made.record.id)
        assert found is not None
        assert (found.status, found.generation) == (Status.QUEUED, 1)


async def test_a_redrive_waits_in_the_lane_of_what_its_tenant_has_waiting_now(
    tmp_path: Path,
) -> None:
    async with admitting(tmp_path) as (admission, engine):
        for _ in range(OPEN_WINDOW):
            await engine.store.create(make_envelope(tenant="busy"))
        for tenant, then, now in (
            ("quiet", Lane.FLOOD, Lane.OPEN),
            ("busy", Lane.OPEN, Lane.FLOOD),
        ):
            made = await admission.redrive(make_envelope(tenant=tenant, lane=then))
            query = f"SELECT lane FROM requests WHERE id = '{made.record.id}'"
            assert await rows(engine, query) == [(now.value,)]


async def test_a_refusal_that_comes_in_between_is_never_told_as_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The take-back of a first submission lands between the look and the create of a second."""
    async with admitting(tmp_path) as (admission, engine):
        request_id = derived_request_id("penstock", CALLER.tenant, "k")
        first = intake().envelope(request_id, CALLER, "m", None, 0, Lane.OPEN)
        create = engine.store.create

        async def beaten(envelope: Any) -> bool:
            assert await engine.store.take_back(first)
            return await create(envelope)

        with monkeypatch.context() as slow:
            slow.setattr(engine.store, "create", beaten)
            with pytest.raises(RequestError) as told:
                await admission.accept(intake(), CALLER)
        assert told.value.code == "not_accepted"
        assert not (await admission.accept(intake(), CALLER)).replayed


async def test_a_full_disk_is_not_written_to_for_what_was_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with admitting(tmp_path) as (admission, engine):
        monkeypatch.setattr(engine.store, "create", failing(StorageFull("full")))
        with pytest.raises(StorageFull):
            await admission.accept(intake(key=None), CALLER)
        await admission.stop()
        assert await rows(engine, "SELECT id FROM requests") == []


async def test_nothing_is_redriven_to_a_model_that_is_not_served_or_drains(tmp_path: Path) -> None:
    async with admitting(tmp_path) as (admission, engine):
        with pytest.raises(RequestError) as gone:
            await admission.redrive(make_envelope(model="gone"))
        assert gone.value.code == "model_not_found"
        letter, other = make_envelope(), make_envelope()
        made = await admission.redrive(letter)
        await engine.switches.set("model", letter.model, State.DRAINING)
        await admission._catalog.switches.refresh()
        with pytest.raises(RequestError) as draining:
            await admission.redrive(other)
        assert draining.value.code == "draining"
        again = await admission.redrive(letter)
        assert (again.replayed, again.record.id) == (True, made.record.id), "it is not new"
        assert await rows(engine, "SELECT count(*) FROM requests") == [(1,)]
