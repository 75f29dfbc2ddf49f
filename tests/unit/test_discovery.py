"""`models: auto`: what was listed stays, whatever answers later; plans follow the configuration."""

from __future__ import annotations

from broker.scheduling.retry import Failure
from broker.scheduling.retry_budget import RetryBudget
from schemas.config import BackendConfig, Config
from workers.backends.port import Answer, Call, CallFailed, Sink
from workers.discovery import Discovery
from workers.plan import PoolPlan, configured, still_possible
from workers.routing.replicas import Replicas
from workers.routing.targets import Target
from workers.rules import Rules
from workers.upstreams import Upstream


class Lists:
    """A backend that lists some models, or does not answer."""

    def __init__(self, *models: str, away: bool = False) -> None:
        self.listed = models
        self.away = away

    async def models(self, _url: str) -> list[str]:
        if self.away:
            raise CallFailed(Failure.UNREACHABLE, "away")
        return list(self.listed)

    async def call(self, _url: str, _call: Call) -> Answer:
        raise AssertionError("nothing is called here")

    async def stream(self, url: str, call: Call, sink: Sink) -> Answer:
        raise AssertionError("nothing is called here")


def backend(url: str, slots: int = 8) -> BackendConfig:
    return BackendConfig(urls=[url], concurrency=slots)


def upstreams(**backends: Lists) -> dict[str, Upstream]:
    return {
        name: Upstream(name, lists, Replicas(name), RetryBudget(), 5)
        for name, lists in backends.items()
    }


async def test_a_model_of_two_backends_has_both_targets() -> None:
    discovery = Discovery()
    config = Config(backends={"a": backend("http://a", 2), "b": backend("http://b", 3)})
    await discovery.refresh(config, upstreams(a=Lists("m", "n"), b=Lists("m")))
    plans = discovery.plans(Rules(config))
    assert plans["m"].targets == (Target("a", "m"), Target("b", "m"))
    assert (plans["m"].slots, plans["n"].slots) == ({"a": 2, "b": 3}, {"a": 2})


async def test_a_model_once_listed_stays() -> None:
    discovery = Discovery()
    config = Config(backends={"a": backend("http://a")})
    lists = Lists("m")
    await discovery.refresh(config, upstreams(a=lists))
    lists.listed = ("n",)
    await discovery.refresh(config, upstreams(a=lists))
    lists.away = True
    await discovery.refresh(config, upstreams(a=lists))
    assert set(discovery.plans(Rules(config))) == {"m", "n"}


async def test_it_is_complete_once_every_backend_has_answered() -> None:
    discovery = Discovery()
    config = Config(backends={"a": backend("http://a"), "b": backend("http://b")})
    await discovery.refresh(config, upstreams(a=Lists("m"), b=Lists(away=True)))
    assert not discovery.complete(config)
    await discovery.refresh(config, upstreams(a=Lists(away=True), b=Lists()))
    assert discovery.complete(config)


async def test_other_urls_are_another_place() -> None:
    discovery = Discovery()
    before = Config(backends={"a": backend("http://a")})
    await discovery.refresh(before, upstreams(a=Lists("m")))
    after = Config(backends={"a": backend("http://elsewhere")})
    assert (discovery.complete(after), discovery.plans(Rules(after))) == (False, {})


async def test_a_listed_wildcard_is_a_route_and_two_are_no_model() -> None:
    discovery = Discovery()
    config = Config(backends={"a": backend("http://a")})
    await discovery.refresh(config, upstreams(a=Lists("openai/*", "*/*")))
    assert set(discovery.plans(Rules(config))) == {"openai/*"}


def test_a_plan_is_left_its_configured_backends() -> None:
    plan = PoolPlan("m", (Target("a", "x"), Target("b", "y")), {"a": 1, "b": 2}, 5)
    config = Config(backends={"b": backend("http://b", 7)})
    rules = Rules(config)
    left = still_possible(plan, rules)
    assert left == PoolPlan("m", (Target("b", "y"),), {"b": 7}, 5, rules)
    assert still_possible(plan, Rules(Config())) is None


def test_a_target_without_a_name_is_called_like_its_model() -> None:
    models = {
        "m": {"targets": [{"backend": "a"}]},
        "x-*": {"targets": [{"backend": "a"}, {"backend": "a", "model": "y-*"}]},
    }
    config = Config.model_validate({"backends": {"a": {"urls": ["http://a"]}}, "models": models})
    plans = configured(Rules(config))
    assert [target.model for target in plans["m"].targets] == ["m"]
    assert [target.model for target in plans["x-*"].targets] == ["x-*", "y-*"]
    assert plans["m"].window == 168
    assert len({id(each.rules) for each in plans.values()}) == 1, "they are compared by it"
