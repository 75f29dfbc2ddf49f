"""A Penstock on RabbitMQ and Redis for the SDK's tests, with models that behave each in its way."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.client.twins import KINDS, Twin
from tests.fakes.stack import Setup, Stack, backend_process

# Model names of the examples, and what the fake backend is asked for.
MODELS = {
    "llama3.2": "echo",
    "nomic-embed-text": "echo",
    "slow": "slow-5000",
    "broken": "status-500",
    "speech": "echo",
    "jitter": "jitter-5-60",
    "later": "slow-700",
}


@dataclass(frozen=True, slots=True)
class Real:
    """A running Penstock and what it stands on."""

    url: str
    amqp_url: str
    redis_url: str
    namespace: str


@pytest.fixture(scope="module", autouse=True)
def _start_quickly(born_in_a_nursery: None) -> None:
    """Nothing here measures a start or memory."""


@pytest.fixture(scope="module")
def real(amqp_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Real]:
    """A Penstock of an api and a worker in a namespace of its own."""
    directory, namespace = tmp_path_factory.mktemp("sdk"), f"t{secrets.token_hex(4)}"
    with backend_process(directory) as (backend, _):
        setup = Setup(
            engine="real",
            workers=1,
            amqp_url=amqp_url,
            redis_url=redis_url,
            server={"namespace": namespace},
            backends={"gpu-a": {"urls": [f"{backend}/v1"]}},
            models={
                name: {
                    "targets": [{"backend": "gpu-a", "model": behaviour}],
                    "retry": {"max_attempts": 1},
                }
                for name, behaviour in MODELS.items()
            },
            more={"endpoints": ["/v1/audio/speech"]},
        )
        with Stack(directory, setup) as stack:
            yield Real(stack.url, amqp_url, redis_url, namespace)


@pytest.fixture(params=sorted(KINDS))
async def twin(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Twin]]:
    """Make either client for a URL; each is closed with the test."""
    made: list[Twin] = []

    def make(url: str, **settings: Any) -> Twin:
        made.append(KINDS[request.param](url, **settings))
        return made[-1]

    yield make
    for each in made:
        await each.close()
