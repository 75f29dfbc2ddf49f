"""A configuration that changes under load: nothing is dropped, nothing runs twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.door import Door
from tests.e2e.traffic import Traffic, most_open, repeated
from tests.e2e.wire import ask
from tests.fakes.process import Process
from tests.fakes.stack import Setup, Stack, backend_process
from tests.servers.ports import reserve

SEED = 20261126
STEADY, JITTER = "steady", "jitter-50-150"
EXTRA, SLOW = "extra", "slow-1000"
# A slot that was asked for before the reload may still be granted this much later.
ON_THEIR_WAY_S = 0.3
APPLIED, REFUSED = "configuration applied", "the new configuration is not used"


@dataclass(frozen=True, slots=True)
class Sections:
    """The parts of the configuration that the test changes; `extra` is that model's slots."""

    concurrency: int = 8
    replicas: int = 1
    shares: Sequence[float] = (1,)
    extra: int = 0


class Reloads:
    """Rewrites the files of a running stack and waits until every process has seen that."""

    def __init__(self, stack: Stack, urls: Sequence[str]) -> None:
        self.stack = stack
        self.chance = random.Random(SEED)
        self.urls = urls

    def to(self, sections: Sections, *, signalled: bool = False) -> float:
        """Apply `sections`; return the instant when all had done so."""
        self.pause()
        before = self._count(APPLIED)
        self.stack.rewrite(*self.written(sections))
        if signalled:
            self.signal()
        return self._until(APPLIED, before)

    def broken(self, text: str, *, signalled: bool = False) -> None:
        """Break every file, in place; return when all have refused it."""
        self.pause()
        before = self._count(REFUSED)
        for path in self.stack.config_files:
            path.write_text(text)
        if signalled:
            self.signal()
        self._until(REFUSED, before)

    def again(self) -> None:
        """Have the same files read once more."""
        self.pause()
        before = self._count(APPLIED)
        self.signal()
        self._until(APPLIED, before)

    def running_when_removed(self, model: str) -> int:
        """Return how many requests of `model` the workers ran when they served it no more."""
        lines = [
            json.loads(line)
            for process in self.stack.processes.values()
            for line in process.text().splitlines()
            if "serves no more" in line
        ]
        return sum(line["running"] for line in lines if line["model"] == model)

    def signal(self) -> None:
        """SIGHUP to every process."""
        for process in self.stack.processes.values():
            os.kill(process.pid, signal.SIGHUP)

    def pause(self) -> None:
        """Let some requests come and go."""
        time.sleep(self.chance.uniform(0.2, 0.8))

    def written(self, sections: Sections) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the backends and the models of `sections`."""
        urls = [f"{url}/v1" for url in self.urls]
        backends: dict[str, Any] = {
            "first": {"urls": urls[: sections.replicas], "concurrency": sections.concurrency}
        }
        shares = dict(zip(("first", "second"), sections.shares, strict=False))
        if "second" in shares:
            backends["second"] = {"urls": urls[1:], "concurrency": 4}
        targets = [
            {"backend": name, "model": JITTER, "weight": share} for name, share in shares.items()
        ]
        models = {STEADY: _once(targets)}
        if sections.extra:
            backends["third"] = {"urls": urls[:1], "concurrency": sections.extra}
            models[EXTRA] = _once([{"backend": "third", "model": SLOW}])
        return backends, models

    def _count(self, said: str) -> Mapping[str, int]:
        return {name: p.text().count(said) for name, p in self.stack.processes.items()}

    def _until(self, said: str, before: Mapping[str, int]) -> float:
        until = time.monotonic() + 20
        while True:
            now = self._count(said)
            if all(now[name] > before[name] for name in before):
                return time.time()
            assert time.monotonic() < until, self.stack.logs()
            time.sleep(0.02)


def _once(targets: list[dict[str, Any]]) -> dict[str, Any]:
    return {"targets": targets, "retry": {"max_attempts": 1}}


@pytest.fixture
def reloads(setup: Setup, tmp_path: Path) -> Iterator[Reloads]:
    with ExitStack() as stage:
        urls = []
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            url, _ = stage.enter_context(backend_process(tmp_path / name))
            urls.append(url)
        start = Reloads(Stack(tmp_path, setup), urls)
        backends, models = start.written(Sections())
        stack = Stack(tmp_path, replace(setup, backends=backends, models=models))
        yield Reloads(stage.enter_context(stack), urls)


def calls_at(urls: Sequence[str]) -> list[list[dict[str, Any]]]:
    return [ask(url, "GET", "/ledger").json["calls"] for url in urls]


def test_a_reload_under_load_drops_nothing_and_doubles_nothing(reloads: Reloads) -> None:
    door = Door(reloads.stack, reloads.urls[0])
    few = Sections(concurrency=2)
    many = Sections(concurrency=16, replicas=2)
    with Traffic(door, STEADY, SEED) as traffic:
        low_from = reloads.to(few)
        reloads.broken("backends: [")
        reloads.broken("models: {steady: {targets: [{backend: nowhere}]}}", signalled=True)
        time.sleep(1)
        low_until = time.time()
        reloads.to(many, signalled=True)
        reloads.to(replace(many, shares=(1, 3)))
        reloads.to(replace(many, shares=(1, 3), extra=4), signalled=True)
        assert door.chat(EXTRA).status == 200
        slow = [door.submit(EXTRA) for _ in range(60)]
        reloads.to(replace(few, extra=3), signalled=True)
        reloads.to(few)
        door.chat(EXTRA).assert_refused("model_not_found")
        reloads.again()
        reloads.to(replace(few, concurrency=8), signalled=True)
        reloads.to(replace(many, extra=40))
        ended = [door.ended(request_id) for request_id in slow]
    ended += [door.ended(request_id) for request_id in traffic.accepted]
    first, second = calls_at(reloads.urls)
    calls = first + second
    print(f"{len(traffic.held)} held, {len(ended)} submitted, {len(calls)} calls")

    assert traffic.wrong == []
    assert {(seen["status"], seen["attempts"]) for seen in ended} == {("completed", 1)}
    assert repeated(calls) == {}
    assert len(calls) == len(traffic.held) + len(ended) + 1
    assert {call["tag"] for call in calls} >= set(traffic.held)
    assert not any(call["aborted"] for call in calls)
    assert most_open(first, low_from + ON_THEIR_WAY_S, low_until) == 2
    steady = [call for call in calls if call["model"] == JITTER]
    assert most_open(steady, 0, time.time()) <= 20
    assert second
    assert reloads.running_when_removed(EXTRA) > 0
    assert len(traffic.held) + len(ended) > 200
    door.assert_at_rest()
    assert not reloads.stack.died(), reloads.stack.logs()
    assert not any(process.tracebacks() for process in reloads.stack.processes.values())


def test_sighup_without_a_configuration_file_ends_nothing(tmp_path: Path) -> None:
    port = reserve()
    arguments = ["serve", "--port", str(port), "--data-dir", str(tmp_path / "data")]
    serve = Process("serve", "cli.main", arguments, tmp_path / "serve.log")
    serve.start()
    try:
        until = time.monotonic() + 30
        while "listens" not in serve.text():
            assert time.monotonic() < until, serve.text()
            time.sleep(0.05)
        time.sleep(0.2)
        os.kill(serve.pid, signal.SIGHUP)
        while "no configuration file to read again" not in serve.text():
            assert time.monotonic() < until, serve.text()
            time.sleep(0.05)
        assert ask(f"http://127.0.0.1:{port}", "GET", "/live").status == 200
        assert serve.terminate() == 0
    finally:
        serve.kill()
