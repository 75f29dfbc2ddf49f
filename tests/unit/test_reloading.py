"""The configuration file as it is watched: whatever happens to it, a usable one stays in force."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.config import load_config
from broker.telemetry import REGISTRY
from cli.reloading import Reloading, WatchedFile
from schemas.config import Config

GOOD = "server: {drain_s: 1}\n"
BETTER = "server: {drain_s: 2}\n"
LOOK_EVERY_S = 0.05


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.reloading._LOOK_EVERY_S", LOOK_EVERY_S)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.yaml"
    path.write_text(GOOD)
    return path


def changed(file: WatchedFile) -> list[bool]:
    return [file.has_changed() for _ in range(3)]


def test_a_file_that_stays_has_not_changed(path: Path) -> None:
    assert changed(WatchedFile(path)) == [False, False, False]


def test_a_change_counts_once_it_has_settled(path: Path) -> None:
    file = WatchedFile(path)
    path.write_text(BETTER)
    assert changed(file) == [False, True, True]
    file.taken = file.mark()
    assert changed(file) == [False, False, False]


def test_a_file_that_is_still_written_is_left_alone(path: Path) -> None:
    file = WatchedFile(path)
    for number in range(5):
        path.write_text(GOOD + "#" * number)
        assert not file.has_changed()
    assert file.has_changed()


def test_a_renamed_file_counts(path: Path) -> None:
    file = WatchedFile(path)
    other = path.with_suffix(".new")
    other.write_text(GOOD)
    stat = path.stat()
    other.replace(path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert changed(file)[-1]


def test_a_link_that_leads_elsewhere_counts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "penstock.yaml").write_text(GOOD)
    data = tmp_path / "data"
    data.symlink_to(tmp_path / "one")
    file = WatchedFile(data / "penstock.yaml")
    swapped = tmp_path / "swapped"
    swapped.symlink_to(tmp_path / "two")
    swapped.replace(data)
    assert changed(file)[-1]


def test_a_file_that_becomes_readable_again_counts(path: Path) -> None:
    file = WatchedFile(path)
    path.chmod(0o000)
    file.taken = file.mark()
    path.chmod(0o600)
    assert changed(file)[-1]


def test_a_file_that_is_gone_and_back_counts_twice(path: Path) -> None:
    file = WatchedFile(path)
    path.unlink()
    assert changed(file)[-1]
    file.taken = file.mark()
    path.write_text(GOOD)
    assert changed(file)[-1]


def test_a_pipe_is_never_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    file = WatchedFile(tmp_path / "pipe")
    assert file.path is None
    assert changed(file) == [False, False, False]


class Stage:
    """A process that reads `path` again, and notes what it is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.applied: list[Config] = []
        self.failures: list[Exception] = []
        self._news = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Reloading]:
        file = WatchedFile(self.path)
        reloading = Reloading(file, self.load(), self.load, self.apply)
        reloading.start()
        try:
            yield reloading
        finally:
            await reloading.stop()
            signal.signal(signal.SIGHUP, signal.SIG_DFL)

    def load(self) -> Config:
        return load_config(self.path, {})

    def become(self, text: str | None) -> None:
        """Let the file hold `text`; None makes it a directory, an empty text removes it."""
        assert self.path is not None
        self.path.unlink()
        if text is None:
            self.path.mkdir()
        elif text:
            self.path.write_text(text)

    async def apply(self, config: Config) -> None:
        if self.failures:
            raise self.failures.pop()
        self.applied.append(config)
        self._news.set()

    async def next(self) -> Config:
        async with asyncio.timeout(20):
            await self._news.wait()
        self._news.clear()
        return self.applied[-1]


def count(outcome: str) -> float:
    found = REGISTRY.get_sample_value("penstock_config_reloads_total", {"outcome": outcome})
    return found or 0.0


async def until_counted(outcome: str, more_than: float) -> None:
    async with asyncio.timeout(20):
        while count(outcome) <= more_than:  # noqa: ASYNC110  because a metric wakes nobody
            await asyncio.sleep(0.05)


async def test_a_changed_file_is_applied(path: Path) -> None:
    stage = Stage(path)
    async with stage.running() as reloading:
        began = time.time()
        stage.become(BETTER)
        assert (await stage.next()).server.drain_s == 2
        await asyncio.sleep(0)
        assert reloading.config == stage.applied[-1]
        loaded_at = REGISTRY.get_sample_value("penstock_config_loaded_timestamp_seconds")
        assert (loaded_at or 0) >= began


async def test_sighup_applies_at_once_and_without_a_change(path: Path) -> None:
    stage = Stage(path)
    async with stage.running():
        os.kill(os.getpid(), signal.SIGHUP)
        assert await stage.next() == load_config(path, {})


async def test_sighup_without_a_file_says_so_and_changes_nothing() -> None:
    stage = Stage(None)
    with capture_logs() as logs:
        async with stage.running():
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(20):
                while not logs:  # noqa: ASYNC110  because a log wakes nobody
                    await asyncio.sleep(0.05)
    assert [line["log_level"] for line in logs] == ["warning"]
    assert stage.applied == []


@pytest.mark.parametrize(
    "broken", ["server: [", "server: {drain_s: -1}\n", "a: !!timestamp x\n", "", None]
)
async def test_a_file_that_cannot_be_used_is_one_error_and_changes_nothing(
    path: Path, broken: str | None
) -> None:
    stage = Stage(path)
    refused = count("refused")
    with capture_logs() as logs:
        async with stage.running() as reloading:
            stage.become(broken)
            await until_counted("refused", refused)
            # Many more looks: it must not be told again.
            await asyncio.sleep(20 * LOOK_EVERY_S)
            assert reloading.config.server.drain_s == 1
    errors = [line for line in logs if line["log_level"] == "error"]
    assert len(errors) == 1
    assert str(path) in errors[0]["error"]
    assert stage.applied == []


async def test_after_a_broken_file_the_next_good_one_counts(path: Path) -> None:
    stage = Stage(path)
    refused = count("refused")
    async with stage.running():
        stage.become("server: [")
        await until_counted("refused", refused)
        stage.become(BETTER)
        assert (await stage.next()).server.drain_s == 2


async def test_what_could_not_be_applied_is_tried_again(path: Path) -> None:
    stage = Stage(path)
    stage.failures.append(RuntimeError("a bug"))
    failed = count("failed")
    async with stage.running():
        stage.become(BETTER)
        assert (await stage.next()).server.drain_s == 2
    assert count("failed") == failed + 1
