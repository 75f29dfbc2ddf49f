"""The gates of webhooks, short; `python -m benchmarks.gates hooks silence` has the long ones."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from benchmarks.gates import webhook_losses, webhook_silence
from benchmarks.gates.figures import Figure, missed
from benchmarks.gates.stage import Stage
from tests.fakes.stack import Setup


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.realservers)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "embedded":
        return Stage(tmp_path, Setup())
    setup = Setup(
        engine="real",
        amqp_url=request.getfixturevalue("amqp_url"),
        redis_url=request.getfixturevalue("redis_url"),
        server={"namespace": f"t{secrets.token_hex(4)}"},
    )
    return Stage(tmp_path, setup)


def assert_met(figures: list[Figure]) -> None:
    print(*figures, sep="\n")
    assert missed(figures) == []


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_every_event_is_delivered_whatever_is_killed(stage: Stage) -> None:
    assert_met(webhook_losses.measure(stage, webhook_losses.SHORT))


def test_a_silent_receiver_does_not_keep_events_from_others(stage: Stage) -> None:
    assert_met(webhook_silence.measure(stage, webhook_silence.SHORT))
