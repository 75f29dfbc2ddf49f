"""Ends a test run with its servers, the counts of each kind, the skips and the slowest tests."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator

import pytest

from tests.servers.session import SHARED

_OUTCOMES = ("passed", "failed", "error", "skipped", "xfailed", "xpassed")
_NAMES = {"rabbitmq": "RabbitMQ", "redis": "Redis", "redis_cluster": "Redis Cluster", "s3": "nanio"}
_SLOWEST = 5
_started = time.monotonic()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    write = terminalreporter.write_line
    terminalreporter.section("Penstock")
    write("servers: " + _servers(config))
    for line in (*_kinds(terminalreporter), *_skips(terminalreporter), *_slow(terminalreporter)):
        write(line)
    write(f"time: {time.monotonic() - _started:.1f} s")


def _servers(config: pytest.Config) -> str:
    shared = config.stash.get(SHARED, None)
    used = shared.versions() if shared else {}
    return (
        ", ".join(f"{_NAMES[kind]} {version}" for kind, version in used.items()) or "none asked for"
    )


def _kind(nodeid: str) -> str:
    """The folder under tests/."""
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "other"


def _reports(reporter: pytest.TerminalReporter, *outcomes: str) -> Iterator[pytest.TestReport]:
    for outcome in outcomes:
        for report in reporter.stats.get(outcome, ()):
            if isinstance(report, pytest.TestReport):
                yield report


def _kinds(reporter: pytest.TerminalReporter) -> Iterator[str]:
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for outcome in _OUTCOMES:
        for report in _reports(reporter, outcome):
            counts[_kind(report.nodeid)][outcome] += 1
    for kind, outcomes in sorted(counts.items()):
        said = ", ".join(f"{outcomes[name]} {name}" for name in _OUTCOMES if outcomes[name])
        yield f"{kind}: {said}"


def _skips(reporter: pytest.TerminalReporter) -> Iterator[str]:
    reasons: Counter[str] = Counter()
    for report in _reports(reporter, "skipped"):
        where = report.longrepr
        reasons[where[2] if isinstance(where, tuple) else str(where)] += 1
    yield f"skipped: {sum(reasons.values())}"
    for reason, count in reasons.most_common():
        yield f"  {count} x {reason.removeprefix('Skipped: ')}"


def _slow(reporter: pytest.TerminalReporter) -> Iterator[str]:
    """A test's time is that of its set-up, its call and its tear-down."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for report in _reports(reporter, "", *_OUTCOMES):
        seconds[report.nodeid] += report.duration
    yield "slowest:"
    slowest = sorted(seconds.items(), key=lambda item: item[1], reverse=True)[:_SLOWEST]
    for nodeid, duration in slowest:
        yield f"  {duration:6.2f} s  {nodeid}"
