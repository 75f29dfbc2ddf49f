"""Place and time until the start, told from what waits and what was started of late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.ports import Served
from broker.ports.members import HORIZONS_S
from broker.scheduling.outlook import Outlook, outlook
from broker.scheduling.served import merge_served
from broker.scheduling.shares import ClassShare
from schemas.priority import Priority

# Others may be using the machine.
unhurried = settings(deadline=None)

NOW = 1_000.0
NO_SHARES = {priority: ClassShare(0.0, 1.0) for priority in list(Priority)[1:]}
# Ten starts per second.
BUSY = Served("m", slots=10, running=10, unstarted=4, rate=10.0, service_s=1.0)


def changed(**changes: Any) -> Served:
    known = {name: getattr(BUSY, name) for name in BUSY.__slots__}
    return Served(**{**known, **changes})


def ask(
    waiting: Mapping[Priority, Mapping[str, int]],
    served: Served = BUSY,
    priority: Priority = Priority.NORMAL,
    accepted_at: float = NOW,
    weights: Mapping[str, float] | None = None,
) -> Outlook:
    return outlook(
        priority,
        "me",
        accepted_at,
        waiting,
        served,
        lambda tenant: (weights or {}).get(tenant, 1.0),
        NOW,
    )


def normal(**waiting: int) -> Mapping[Priority, Mapping[str, int]]:
    return {Priority.NORMAL: waiting}


def test_a_free_slot_and_nobody_ahead_is_a_start_at_once() -> None:
    assert ask(normal(me=1), changed(running=3)) == Outlook(1, 0.0, "its start")


def test_the_next_one_waits_for_a_slot() -> None:
    assert ask(normal(me=1)) == Outlook(1, 0.1, "a free slot")


def test_without_a_worker_nobody_can_tell_when() -> None:
    told = ask(normal(me=3), Served("m", 0))
    assert told == Outlook(3, None, "a worker that serves its model")


def test_before_anything_was_started_nobody_can_tell_when() -> None:
    assert ask(normal(me=3), Served("m", 4, 4)).eta_s is None


def test_higher_classes_and_its_own_tenants_earlier_ones_go_first() -> None:
    waiting = {Priority.HIGH: {"a": 10, "b": 4}, Priority.NORMAL: {"me": 4}}
    told = ask(waiting)
    assert told == Outlook(18, 1.8, "14 of higher priority and 3 of its own")


def test_lower_classes_do_not_go_first() -> None:
    assert ask({**normal(me=3), Priority.LOW: {"a": 99}}).position == 3


def test_other_tenants_take_as_many_turns_as_it_has_to_wait_for() -> None:
    told = ask(normal(me=11, big=32, small=3))
    assert told.position == 10 + 10 + 3 + 1
    assert told.waiting_for == "23 of its own priority"


def test_turns_go_by_weight() -> None:
    assert ask(normal(me=11, other=32), weights={"me": 2.0}).position == 10 + 5 + 1


def test_a_quiet_tenant_does_not_wait_for_a_flood() -> None:
    assert ask(normal(me=1, flood=10_000)).position == 1


def test_a_flood_waits_for_all_of_another_flood_that_is_older() -> None:
    assert ask(normal(me=101, flood=1_000)).position == 1_101


def test_its_place_moves_up_with_the_newest_of_its_lane_that_was_started() -> None:
    served = changed(heads={"normal flood": NOW - 100}, densities={"normal flood": 2.0})
    assert ask(normal(me=201), served, accepted_at=NOW - 50).position == 101
    assert ask(normal(me=201), served, accepted_at=NOW - 100).position == 1


def test_its_place_does_not_move_up_because_nothing_comes_in_any_more() -> None:
    """Two hundred came in within two seconds, which was long ago."""
    served = changed(heads={"normal flood": NOW - 1_000}, densities={"normal flood": 100.0})
    assert ask(normal(me=201), served, accepted_at=NOW - 999).position == pytest.approx(100, abs=2)
    assert ask(normal(me=201), served, accepted_at=NOW - 998).position == pytest.approx(200, abs=2)


def test_until_enough_of_its_lane_were_started_all_of_its_tenant_are_taken_for_older() -> None:
    served = changed(heads={"normal open": NOW - 100})
    assert ask(normal(me=21), served, accepted_at=NOW - 99).position == 21


def steadily(rate: float) -> tuple[float, ...]:
    return tuple(rate * horizon_s for horizon_s in HORIZONS_S)


def test_what_still_comes_in_above_it_takes_starts() -> None:
    served = changed(lately={"high open": steadily(5.0)})
    assert ask(normal(me=20), served).eta_s == pytest.approx(20 / 5, rel=0.01)


def test_as_much_comes_in_above_it_as_came_in_in_as_many_seconds_before() -> None:
    served = changed(lately={"high open": (50.0,) * len(HORIZONS_S)})
    assert ask(normal(me=32), served).eta_s == pytest.approx(32 / (10 - 50 / 15), rel=0.02)
    waiting = {Priority.HIGH: {"a": 3_000}, Priority.LOW: {"me": 1}}
    assert ask(waiting, served, Priority.LOW).eta_s == pytest.approx(3_051 / 10, rel=0.02)


def test_where_more_comes_in_above_it_than_can_be_started_nobody_can_tell_when() -> None:
    served = changed(lately={"high open": steadily(11.0)})
    told = outlook(
        Priority.LOW, "me", NOW, {Priority.LOW: {"me": 1}}, served, lambda _: 1.0, NOW, NO_SHARES
    )
    assert told.eta_s is None


def test_a_backlog_above_it_is_not_counted_twice() -> None:
    """It is started at full rate, but nothing of it has come in for a minute."""
    served = changed(lately={"high open": steadily(10.0)}, heads={"high open": NOW - 60})
    told = ask({Priority.HIGH: {"a": 30}, **normal(me=1)}, served)
    assert told.eta_s is not None
    assert 3.0 < told.eta_s < 3.5


def test_under_a_saturated_class_it_gets_its_share_once_it_is_late() -> None:
    saturated = changed(lately={"high open": steadily(10.0)}, heads={"high open": NOW})
    told = ask({Priority.HIGH: {"a": 10_000}, **normal(me=5)}, saturated)
    assert told.eta_s == pytest.approx(30 + 5 / (10 / 8))


def test_the_shares_of_late_classes_below_take_starts() -> None:
    served = changed(rates={"normal": 9.375, "low": 0.625, "low open": 0.625})
    assert ask({**normal(me=30), Priority.LOW: {"a": 9}}, served).eta_s == pytest.approx(3.2)


def test_a_limit_beside_the_slots_is_seen_in_the_rate() -> None:
    assert ask(normal(me=20), changed(running=2, rate=2.0)).eta_s == pytest.approx(10.0)


@unhurried
@given(
    st.sampled_from(Priority),
    st.dictionaries(
        st.sampled_from(Priority),
        st.dictionaries(st.sampled_from(["me", "a", "b"]), st.integers(1, 100_000)),
    ),
    st.floats(0, NOW),
    st.dictionaries(st.sampled_from(["high open", "normal open", "low flood"]), st.floats(0, 20)),
    st.lists(st.floats(0, 1e6), max_size=len(HORIZONS_S)),
)
def test_whatever_waits_the_answer_is_a_place_and_a_time(
    priority: Priority,
    waiting: Mapping[Priority, Mapping[str, int]],
    accepted_at: float,
    rates: Mapping[str, float],
    lately: list[float],
) -> None:
    served = changed(
        rates=rates,
        lately=dict.fromkeys(rates, lately),
        heads=dict.fromkeys(rates, 900.0),
        densities=rates,
    )
    told = ask(waiting, served, priority, accepted_at)
    assert told.position is not None
    assert 1 <= told.position <= 1 + sum(sum(line.values()) for line in waiting.values())
    assert told.eta_s is None or told.eta_s >= 0


def test_workers_of_a_model_are_told_as_one() -> None:
    (served,) = merge_served(
        [
            Served("m", 4, 3, 1, 2.0, {"low": 5.0}, {"low": 2.0}, 1.0, {"low": (1.0, 2.0)}),
            Served("m", 4, 1, 1, 1.0, {"low": 7.0}, {"low": 1.0}, 2.0, {"low": (1.0,)}),
        ]
    )
    assert (served.rate, served.rates, served.heads) == (3.0, {"low": 3.0}, {"low": 7.0})
    assert served.lately == {"low": (2.0, 2.0)}
    assert served.service_s == pytest.approx(4 / 3.5)
