"""Which configured model a name in a batch's line stands for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from broker.ports.members import Served
from schemas.config import Config
from workers.batches.asked import BadLine
from workers.batches.models import Opened

BACKENDS = {
    "chat": {"urls": ["http://127.0.0.1:1/v1"]},
    "own": {"urls": ["http://127.0.0.1:2/v1"], "native_responses": True},
}
MODELS = {
    "big": {"targets": [{"backend": "own"}]},
    "both": {"targets": [{"backend": "own"}, {"backend": "chat"}]},
    "llama-*": {"targets": [{"backend": "chat"}]},
    "secret": {"targets": [{"backend": "chat"}]},
}


class Heartbeats:
    """Fills the part of Members that is asked here."""

    def __init__(self, *models: str) -> None:
        self.models: Sequence[str] = models
        self.asked = 0

    async def beat(self, role: str, serves: Sequence[Served]) -> None: ...

    async def last_beat(self, owner: str) -> float | None: ...

    async def leave(self) -> None: ...

    async def served(self) -> list[Served]:
        self.asked += 1
        return [Served(model, 1) for model in self.models]


def opened(tenant: str = "acme", heartbeats: Heartbeats | None = None, **changes: Any) -> Opened:
    config: dict[str, Any] = {
        "backends": BACKENDS,
        "models": MODELS,
        "aliases": {"gpt": "big"},
        "tenants": {"acme": {"models": ["big", "llama-3*"]}},
    }
    return Opened(heartbeats or Heartbeats(), Config(**{**config, **changes}), tenant)


def refused(opens: Opened, asked: str) -> tuple[str, str]:
    with pytest.raises(BadLine) as error:
        opens(asked)
    assert error.value.mistake.param == "body.model"
    assert len(error.value.mistake.message) < 400
    return error.value.mistake.code, error.value.mistake.message


@pytest.mark.parametrize(
    ("asked", "model"), [("big", "big"), ("gpt", "big"), ("llama-3.1", "llama-*")]
)
def test_a_name_an_alias_and_a_pattern_lead_to_a_model(asked: str, model: str) -> None:
    opens = opened()
    assert [opens(asked), opens(asked)] == [model, model]


@pytest.mark.parametrize("asked", ["secret", "llama-2", "both"])
def test_what_the_tenant_s_keys_do_not_open_is_refused(asked: str) -> None:
    assert refused(opened(), asked)[0] == "model_not_allowed"
    assert opened("default")(asked)


@pytest.mark.parametrize("asked", ["nothing", "llama", "x" * 100_000])
def test_what_is_not_served_is_refused_with_what_is(asked: str) -> None:
    code, message = refused(opened(), asked)
    assert code == "model_not_found"
    assert message.endswith(": big.")


def test_a_model_is_native_where_all_its_backends_are() -> None:
    opens = opened()
    assert [opens.natively(name) for name in ("big", "both", "secret")] == [True, False, False]


def test_with_auto_the_workers_say_what_is_served() -> None:
    heartbeats = Heartbeats()
    opens = opened("default", heartbeats, models="auto", aliases={"small": "tiny"}, tenants={})

    async def refreshed() -> bool:
        opens._fresh_until = 0.0
        await opens.refresh()
        return opens.known

    assert not asyncio.run(refreshed())
    heartbeats.models = ["tiny"]
    assert asyncio.run(refreshed())
    assert [opens("tiny"), opens("small")] == ["tiny", "tiny"]
    heartbeats.models = []
    assert asyncio.run(refreshed()), "the last list is kept while no worker lives"
    assert opens("tiny") == "tiny"
    heartbeats.models = ["huge"]
    assert asyncio.run(refreshed())
    assert refused(opens, "tiny") == (
        "model_not_found",
        "The model 'tiny' is not served here; name one that is: huge.",
    )


def test_the_workers_are_asked_at_most_each_second() -> None:
    heartbeats = Heartbeats("tiny")
    opens = opened("default", heartbeats, models="auto", aliases={}, tenants={})

    async def often() -> None:
        for _ in range(100):
            await opens.refresh()

    asyncio.run(often())
    assert heartbeats.asked < 100
    assert opens("tiny") == "tiny"
