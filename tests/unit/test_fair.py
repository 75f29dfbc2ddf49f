"""Turns: tokens by weight, nobody waits behind a flood, debts are kept and savings are not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.scheduling.fair import Entry, Turns
from tests.fakes.tickets import Ticket, one_weight

# Others may be using the machine.
unhurried = settings(deadline=None)

Waiters = Turns[Ticket]


class Stage:
    """Turns whose entries are numbered as they come."""

    def __init__(self, weight_of: Callable[[str], float] = one_weight) -> None:
        self.turns: Waiters = Turns(weight_of)
        self._number = 0

    def add(self, tenant: str, cost: float = 1.0, due: float | None = None) -> Ticket:
        self._number += 1
        ticket = Ticket(tenant=tenant, cost=cost, due=self._number if due is None else due)
        self.turns.add(Entry(ticket, self._number))
        return ticket

    def take(self, count: int = 1) -> list[Ticket]:
        return [self.turns.take().waiting for _ in range(count)]

    def tenants(self, count: int) -> str:
        return " ".join(ticket.tenant for ticket in self.take(count))


weights = st.lists(st.floats(0.1, 10), min_size=2, max_size=6)


@settings(deadline=None, max_examples=30)
@given(weights, st.randoms(use_true_random=False))
def test_over_a_long_backlog_tokens_go_by_weight(shares: list[float], random: Random) -> None:
    """By weight, any two tenants are within one charge of each: the bound of fair queueing."""
    names = [str(number) for number in range(len(shares))]
    weight_of = dict(zip(names, shares, strict=True))
    stage, most = Stage(weight_of.__getitem__), 100.0
    for name in names:
        for _ in range(200):
            stage.add(name, cost=random.uniform(1, most))
    tokens: defaultdict[str, float] = defaultdict(float)
    served = Counter(names)
    while max(served.values()) < 200:
        (ticket,) = stage.take()
        served[ticket.tenant] += 1
        tokens[ticket.tenant] += ticket.cost
        levels = {name: tokens[name] / weight_of[name] for name in names}
        slack = most / min(shares) + 1.0
        assert max(levels.values()) - min(levels.values()) <= slack


def test_tenants_of_one_weight_and_cost_take_turns() -> None:
    stage = Stage()
    for tenant in "aaaaabbbc":
        stage.add(tenant)
    assert stage.tenants(9) == "a b c a b a b a a"


def test_inside_a_tenant_the_earliest_due_goes_first() -> None:
    stage = Stage()
    late, soon, later = stage.add("a", due=5), stage.add("a", due=1), stage.add("a", due=9)
    assert stage.take(3) == [soon, late, later]


@unhurried
@given(st.integers(1, 20), st.integers(1, 10))
def test_among_equals_the_one_that_came_back_goes_first(flooders: int, rounds: int) -> None:
    stage = Stage()
    for number in range(12 * flooders):
        stage.add(f"flood {number % flooders}")
    stage.take(rounds * flooders)
    quiet = stage.add("quiet")
    assert stage.take() == [quiet]
    stage.add("quiet")
    assert "quiet" not in stage.tenants(flooders)


@unhurried
@given(st.integers(1, 5), st.integers(0, 300), st.lists(st.floats(1, 100), min_size=1, max_size=40))
def test_a_quiet_tenant_waits_for_one_start_of_each_other_at_most(
    flooders: int, served: int, costs: list[float]
) -> None:
    stage = Stage()
    for number in range(400):
        stage.add(f"flood {number % flooders}", cost=costs[number % len(costs)])
    stage.take(served)
    quiet = stage.add("quiet", cost=50)
    assert quiet in stage.take(flooders + 1)


def test_an_idle_tenant_saves_nothing_up() -> None:
    stage = Stage()
    for _ in range(100):
        stage.add("busy")
    stage.add("idle")
    stage.take(50)
    for _ in range(20):
        stage.add("idle")
    assert Counter(stage.tenants(20).split()) == {"busy": 10, "idle": 10}


def test_a_tenant_in_debt_skips_turns_even_if_it_left_meanwhile() -> None:
    stage = Stage()
    stage.add("a", cost=5)
    for _ in range(20):
        stage.add("b")
    assert stage.tenants(1) == "a"
    stage.add("a")
    assert stage.tenants(7) == "b b b b b a b"


def test_a_call_that_took_more_than_estimated_costs_turns() -> None:
    stage = Stage()
    for tenant in "ab" * 20:
        stage.add(tenant)
    assert stage.tenants(2) == "a b"
    stage.turns.correct("a", 3.0)
    assert stage.tenants(5) == "b b b a b"


def test_a_call_that_took_less_than_estimated_gives_turns_back() -> None:
    stage = Stage()
    for tenant in "ab" * 20:
        stage.add(tenant, cost=4)
    assert stage.tenants(2) == "a b"
    stage.turns.correct("b", -3.0)
    assert stage.tenants(3) == "b a b"


def test_a_refund_while_idle_is_not_saved_up() -> None:
    stage = Stage()
    for tenant in "abb":
        stage.add(tenant)
    stage.take(3)
    stage.turns.correct("a", -100.0)
    for _ in range(20):
        stage.add("b")
        stage.add("a")
    assert Counter(stage.tenants(20).split())["a"] <= 12


@unhurried
@given(st.integers(2, 8))
def test_equal_floods_are_served_alike(floods: int) -> None:
    stage = Stage()
    for number in range(floods * 50):
        stage.add(str(number % floods), cost=1 + number % 7)
    tokens: defaultdict[str, float] = defaultdict(float)
    for ticket in stage.take(floods * 30):
        tokens[ticket.tenant] += ticket.cost
    shares = list(tokens.values())
    assert sum(shares) ** 2 / (floods * sum(x * x for x in shares)) >= 0.95


def test_costless_requests_take_turns_too() -> None:
    stage = Stage()
    for tenant in "aaabbb":
        stage.add(tenant, cost=0)
    assert stage.tenants(6) == "a b a b a b"


def test_tenants_that_owe_nothing_are_forgotten() -> None:
    stage = Stage()
    for number in range(10_000):
        stage.add(f"tenant {number}")
        stage.take()
        stage.turns.correct(f"tenant {number}", -0.5)
    assert len(stage.turns._tenants) < 200
    assert len(stage.turns._turns) < 1_000


def test_a_flood_of_corrections_leaves_no_void_turns_behind() -> None:
    stage = Stage()
    stage.add("a")
    for _ in range(10_000):
        stage.turns.correct("a", 1.0)
        stage.turns.correct("a", -1.0)
    assert len(stage.turns._turns) < 1_000
