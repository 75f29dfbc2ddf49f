"""The kill drill's short form, and the proof that it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.drill import Options, drill
from tests.chaos.strikes import kind_of, plan
from tests.fakes.stack import Engine

ENGINES = [
    pytest.param("embedded", id="embedded"),
    pytest.param("real", id="real", marks=pytest.mark.realservers),
]
REAL_ROLES = ["api-0", "api-1", "worker-0", "worker-1", "rabbitmq", "redis"]


@pytest.mark.chaos
@pytest.mark.timeout(300)
@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_accepted_is_lost_whatever_is_killed(engine: Engine, tmp_path: Path) -> None:
    options = Options(engine, rounds=2, accepted=500, backlog=300, seed=1)
    outcome = drill(options, tmp_path)
    assert not outcome.failures, [options.replay(seed) for seed in outcome.failures]
    kinds = {kind_of(role) for role in outcome.kills}
    assert kinds == ({"serve"} if engine == "embedded" else {"api", "worker", "rabbitmq", "redis"})


@pytest.mark.chaos
@pytest.mark.timeout(200)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_drill_fails_on_a_planted_fault(engine: Engine, tmp_path: Path) -> None:
    """Embedded, the row is the message, so the ack that comes too early is the answer itself."""
    kills = 2 if engine == "real" else 1
    planted = Options(
        engine,
        rounds=1,
        accepted=150,
        backlog=120,
        least_in_flight=40,
        seed=1,
        kills=kills,
        plant="ack-before-commit" if engine == "real" else "answer-before-commit",
        drain_s=15,
        # The one that is killed has work in its hands: a second one could have taken all of it.
        workers=1,
    )
    outcome = drill(planted, tmp_path)
    assert any("lost" in failure for failure in outcome.failures.get(planted.seed, []))


def test_twenty_rounds_kill_every_role_at_least_four_times() -> None:
    rounds = range(1, 21)
    killed = [strike.role for seed in rounds for strike in plan(seed, REAL_ROLES, 2_000, 3)]
    assert {role for role in REAL_ROLES if killed.count(role) >= 4} == set(REAL_ROLES)
