"""What a door admits, in which lane, and what it tells, by what it knows of the backlog."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api import following
from api.auth import Caller
from api.backlog import Backlog
from api.catalog import Catalog
from broker.embedded.engine import EmbeddedEngine
from broker.ports import Served
from broker.scheduling.lanes import OPEN_WINDOW
from schemas.config import Config
from schemas.errors import RequestError, StoreUnavailable
from schemas.priority import Lane, Priority
from schemas.record import born
from tests.conformance.steps import eventually, record_of
from tests.fakes.envelopes import make_envelope
from tests.fakes.results import make_slot
from tests.integration.embedded import running

NORMAL = Priority.NORMAL
SLOWER_KEY = {"name": "slower", "hash": "sha256:" + "0" * 64, "rpm": 6}
CONFIG = Config.model_validate(
    {
        "tenants": {
            "acme": {"models": ["*"], "max_queued": 2},
            "slow": {"models": ["*"], "rpm": 60, "keys": [SLOWER_KEY]},
        }
    }
)
IN_AN_HOUR = time.time() + 3_600


@asynccontextmanager
async def known(engine: EmbeddedEngine, served: Served | None = None) -> AsyncIterator[Backlog]:
    """What a door knows of `engine`, refreshed all the while."""
    catalog = Catalog(engine, CONFIG)
    if served is not None:
        await engine.members.beat("worker", [served])
        await catalog.refresh()
    backlog = Backlog(engine, catalog, CONFIG)
    running = asyncio.create_task(backlog.run())
    try:
        yield backlog
    finally:
        running.cancel()


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Count again and again."""
    monkeypatch.setattr(following, "_REFRESH_S", 0.01)


@pytest.mark.usefixtures("often")
async def test_a_count_without_an_answer_leaves_the_others_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each counts only what it adds, until everybody is refused."""
    async with running(tmp_path) as engine:
        failing(monkeypatch, engine, "dead")
        async with known(engine) as backlog:
            for model in ("dead", "m"):
                await backlog.admit(model, Caller("acme"), NORMAL, IN_AN_HOUR)

            # What was counted has ended: nothing is open.
            async def admitted() -> bool:
                try:
                    await backlog.admit("m", Caller("acme"), NORMAL, IN_AN_HOUR)
                except RequestError:
                    return False
                return True

            await eventually(admitted)


async def test_many_at_once_share_the_first_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as engine:
        counts = counting(monkeypatch, engine)
        async with known(engine) as backlog:
            lanes = await asyncio.gather(
                *(backlog.admit("m", Caller("a"), NORMAL, IN_AN_HOUR) for _ in range(20))
            )
        assert set(lanes) == {Lane.OPEN}
        assert counts.count("m") == 1


async def test_nothing_is_read_of_a_model_that_nobody_asks_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_REFRESH_S", 0.005)
    monkeypatch.setattr(following, "_FORGET_S", 0.05)
    async with running(tmp_path) as engine:
        counts = counting(monkeypatch, engine)
        async with known(engine) as backlog:
            for number in range(50):
                await backlog.admit(f"m{number}", Caller("a"), NORMAL, IN_AN_HOUR)

            async def quiet() -> bool:
                counts.clear()
                await asyncio.sleep(0.1)
                return not counts

            await eventually(quiet)


async def test_a_flood_is_told_by_what_waits_not_by_what_came(tmp_path: Path) -> None:
    """The count that is made where a flood seems to begin finds that all of it has started."""
    async with running(tmp_path) as engine, known(engine) as backlog:
        for number in range(2 * OPEN_WINDOW):
            if number == OPEN_WINDOW:
                await asyncio.sleep(0.12)
            assert await backlog.admit("m", Caller("a"), NORMAL, IN_AN_HOUR) is Lane.OPEN


async def test_a_flood_goes_to_its_lane_and_its_redrives_too(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, known(engine) as backlog:
        for _ in range(OPEN_WINDOW):
            await engine.store.create(make_envelope(tenant="a"))
        assert await backlog.admit("m", Caller("a"), NORMAL, IN_AN_HOUR) is Lane.FLOOD
        assert await backlog.lane_of("m", "a", NORMAL) is Lane.FLOOD
        assert await backlog.admit("m", Caller("b"), NORMAL, IN_AN_HOUR) is Lane.OPEN
        assert await backlog.admit("m", Caller("a"), Priority.HIGH, IN_AN_HOUR) is Lane.OPEN


async def test_a_deadline_that_surely_passes_first_is_refused_with_the_eta(tmp_path: Path) -> None:
    served = Served("m", slots=2, running=2, rate=1.0, service_s=2.0)
    async with running(tmp_path) as engine:
        for _ in range(100):
            await engine.store.create(make_envelope(tenant="a"))
        async with known(engine, served) as backlog:
            now = time.time()
            sentence = r"in about 10[01] s; its deadline is in 60 s"
            with pytest.raises(RequestError, match=sentence) as no:
                await backlog.admit("m", Caller("a"), NORMAL, now + 60.4)
            assert (no.value.code, no.value.status) == ("deadline_unreachable", 429)
            assert 38 <= (no.value.retry_after_s or 0) <= 42
            # An estimate may be wrong by so much.
            await backlog.admit("m", Caller("a"), NORMAL, now + 75)
            with pytest.raises(RequestError, match="its deadline is in 1 s"):
                await backlog.admit("m", Caller("a"), NORMAL, now + 1.4)


@pytest.mark.parametrize(
    "served",
    [
        None,
        Served("m", slots=0, service_s=2.0),
        Served("m", slots=200, rate=1.0, service_s=2.0),
        Served("m", slots=2, rate=1.0),
    ],
)
async def test_nobody_is_refused_for_an_eta_that_nobody_knows(
    tmp_path: Path, served: Served | None
) -> None:
    async with running(tmp_path) as engine:
        for _ in range(100):
            await engine.store.create(make_envelope(tenant="a"))
        async with known(engine, served) as backlog:
            await backlog.admit("m", Caller("a"), NORMAL, time.time() + 1)


async def test_limits_of_the_caller_are_part_of_what_it_can_expect(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        envelopes = [make_envelope(tenant="slow") for _ in range(180)]
        for envelope in envelopes:
            await engine.store.create(envelope)
        async with known(engine) as backlog:
            told = await backlog.outlook(born(envelopes[0]))
            assert told.eta_s == pytest.approx(120, abs=1)
            assert (told.waiting_for or "").startswith("rpm of tenant slow until ")
            with pytest.raises(RequestError, match="in about 120 s; its deadline is in 60 s") as no:
                await backlog.admit("m", Caller("slow"), NORMAL, time.time() + 60.4)
            assert no.value.code == "deadline_unreachable"
            # What waits may be of the tenant's other keys.
            await backlog.admit("m", Caller("slow", "slower"), NORMAL, time.time() + 600)
            await backlog.admit("m", Caller("slow"), NORMAL, IN_AN_HOUR)


async def test_a_limit_that_all_share_is_named(tmp_path: Path) -> None:
    until = math.ceil(time.time() + 50)
    served = Served("m", slots=2, closed_until=until, closed_by="tpm of model m")
    async with running(tmp_path) as engine:
        envelope = make_envelope()
        await engine.store.create(envelope)
        async with known(engine, served) as backlog:
            told = await backlog.outlook(born(envelope))
            assert told.eta_s == pytest.approx(until - time.time(), abs=1)
            assert (told.waiting_for or "").startswith("tpm of model m until ")


async def test_a_parked_request_is_told_for_what_it_waits_until_when(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, known(engine) as backlog:
        envelope = make_envelope(deadline=4_000_000_000.0)
        await engine.store.create(envelope)
        at = math.ceil(time.time() + 50) - 0.5
        await engine.store.park(envelope.next_generation(at), "tpm of tenant acme")
        told = await backlog.outlook(await record_of(engine, envelope))
        until = time.strftime("%H:%M:%S", time.gmtime(at + 0.5))
        assert told.waiting_for == f"tpm of tenant acme until {until} UTC"
        assert told.eta_s == pytest.approx(at - time.time(), abs=1)
        assert told.position is None


@pytest.mark.parametrize(("attempt", "what"), [(0, "its time"), (1, "its next attempt")])
async def test_one_that_waits_for_a_time_is_told_whether_it_has_been_tried(
    tmp_path: Path, attempt: int, what: str
) -> None:
    async with running(tmp_path) as engine, known(engine) as backlog:
        record = born(make_envelope(not_before=time.time() + 50))
        told = await backlog.outlook(replace(record, attempt=attempt))
        assert (told.waiting_for or "").startswith(f"{what}, in ")


async def test_an_ended_or_running_request_expects_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as engine, known(engine) as backlog:
        envelope = make_envelope()
        assert (await backlog.outlook(born(envelope))).position is not None
        await engine.store.claim(envelope, make_slot())
        assert (await backlog.outlook(await record_of(engine, envelope))).position is None


def counting(monkeypatch: pytest.MonkeyPatch, engine: EmbeddedEngine) -> list[str]:
    """Return the models that are counted from now on, each time anew."""
    counts: list[str] = []

    async def waiting(count: Callable[[str], Awaitable[Any]], model: str) -> Any:
        counts.append(model)
        return await count(model)

    _replace(monkeypatch, engine, waiting)
    return counts


def failing(monkeypatch: pytest.MonkeyPatch, engine: EmbeddedEngine, dead: str) -> None:
    """Let every count of `dead` fail."""

    async def waiting(count: Callable[[str], Awaitable[Any]], model: str) -> Any:
        if model == dead:
            raise StoreUnavailable("no answer")
        return await count(model)

    _replace(monkeypatch, engine, waiting)


def _replace(
    monkeypatch: pytest.MonkeyPatch, engine: EmbeddedEngine, waiting: Callable[..., Any]
) -> None:
    count = engine.store.waiting

    async def instead(model: str) -> Mapping[Priority, Mapping[str, int]]:
        found: Mapping[Priority, Mapping[str, int]] = await waiting(count, model)
        return found

    monkeypatch.setattr(engine.store, "waiting", instead)
