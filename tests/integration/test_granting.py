"""`penstock amqp grant --apply` against a real RabbitMQ: what the user may do, and may not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit
from uuid import uuid4

import aiormq
import pytest
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from pamqp.commands import Basic

from schemas.ids import slug
from tests.e2e.penstock import penstock
from tests.integration.amqp import outside
from tests.servers.rabbitmq_place import RabbitMQPlace
from tests.servers.session import SharedServers

pytestmark = pytest.mark.realservers


@dataclass(frozen=True, slots=True)
class Granted:
    """A user as the command made it."""

    user: str
    url: str
    namespace: str


@pytest.fixture
def place(servers: SharedServers) -> RabbitMQPlace:
    """The session's RabbitMQ, whose rabbitmqctl can be run."""
    found = servers.rabbitmq_place()
    if found is None:
        pytest.skip("the RabbitMQ of the test URL has no rabbitmqctl here")
    return found


@pytest.fixture
def ran(place: RabbitMQPlace, amqp_url: str, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Runs `penstock amqp grant --apply` for a tenant of its own, which is removed afterwards."""
    user, namespace = f"acme-{uuid4().hex[:8]}", f"g{uuid4().hex[:8]}"
    program = place.program(tmp_path)
    config = tmp_path / "penstock.yaml"
    config.write_text(
        json.dumps(
            {
                "server": {
                    "amqp_url": amqp_url,
                    "redis_url": "redis://127.0.0.1",
                    "namespace": namespace,
                },
                "tenants": {user: {"models": ["llama-*", "Qwen/Qwen2"]}},
            }
        )
    )

    def run(*more: str) -> str:
        arguments = ["amqp", "grant", user, "--config", str(config), "--json"]
        done = penstock(*arguments, "--apply", "--rabbitmqctl", str(program), *more)
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    place.control("delete_user", user)


@pytest.fixture
async def granted(ran: Callable[..., str], amqp_url: str) -> AsyncIterator[Granted]:
    """A user for all priorities but `high`, and the exchanges there are."""
    told = json.loads(ran("--priority", "normal", "--priority", "low"))
    parts = urlsplit(amqp_url)
    url = f"amqp://{quote(told['user'])}:{told['password']}@{parts.netloc.partition('@')[2]}"
    namespace = told["exchange"].removesuffix(".intake")
    exchanges = [f"{namespace}.intake", f"{namespace}.work"]
    async with outside(amqp_url) as channel:
        for exchange in exchanges:
            await channel.exchange_declare(exchange, exchange_type="topic")
        yield Granted(told["user"], f"{url}{parts.path}", namespace)
        for exchange in exchanges:
            await channel.exchange_delete(exchange)


async def test_it_may_publish_to_its_models_and_read_its_replies(granted: Granted) -> None:
    async with outside(granted.url) as channel:
        for model in ("llama-3", slug("Llama-3 8B"), slug("Qwen/Qwen2")):
            await _publish(channel, f"{granted.namespace}.intake", f"{model}.normal")
        for name in (f"reply.{granted.user}.1", ""):
            made = await channel.queue_declare(name, exclusive=True)
            await channel.basic_get(str(made.queue))


@pytest.mark.parametrize("key", ["llama-3.high", "other.normal", "qwen.normal", "llama-3.normal.x"])
async def test_it_may_publish_nothing_else(granted: Granted, key: str) -> None:
    await _refused(granted, lambda ch: _publish(ch, f"{granted.namespace}.intake", key))


async def test_it_reaches_no_queue_but_its_own(granted: Granted, amqp_url: str) -> None:
    other = f"reply.{granted.user}x.1"
    async with outside(amqp_url) as channel:
        await channel.queue_declare(other, auto_delete=True)
        await _refused(granted, lambda ch: _publish(ch, f"{granted.namespace}.work", "m.high.open"))
        await _refused(granted, lambda ch: _publish(ch, "", other))
        await _refused(granted, lambda ch: ch.basic_get(other))
        await _refused(granted, lambda ch: ch.queue_declare("mine"))
        await channel.queue_delete(other)


async def test_it_cannot_say_that_it_is_another(granted: Granted) -> None:
    async with outside(granted.url) as channel:
        properties = Basic.Properties(user_id="guest")
        with pytest.raises(ChannelPreconditionFailed):
            await _publish(
                channel, f"{granted.namespace}.intake", "llama-3.normal", properties=properties
            )


def test_a_user_that_exists_keeps_its_password(ran: Callable[..., str]) -> None:
    assert json.loads(ran())["password"]
    assert json.loads(ran())["password"] is None


async def _publish(
    channel: AbstractChannel,
    exchange: str,
    key: str,
    properties: Basic.Properties | None = None,
) -> None:
    await channel.basic_publish(b"{}", exchange=exchange, routing_key=key, properties=properties)
    # RabbitMQ refuses a publish by closing the channel, which the next answer would tell.
    await channel.basic_qos(prefetch_count=1)


async def _refused(granted: Granted, step: Callable[[AbstractChannel], Awaitable[object]]) -> None:
    connection = await aiormq.connect(granted.url)
    try:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await step(channel)
    finally:
        await connection.close()
