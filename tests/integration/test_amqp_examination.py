"""`doctor` on a real RabbitMQ: rights, drift, queues without a leader, alarms, a wrong password."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from aiormq.abc import AbstractChannel

from broker.amqp.examination import examine
from broker.findings import Finding, Verdict
from broker.topology import TIERS, Topology
from cli.management import examine as examine_management
from schemas.priority import PRIORITIES, Lane, Priority
from tests.fakes.findings import bad, one
from tests.integration.amqp import eventually, outside, remove, running
from tests.servers.ports import reserve
from tests.servers.provision import rabbitmq_program
from tests.servers.rabbitmq import RabbitMQNode

pytestmark = pytest.mark.realservers

_PASSWORD = "long-password"
# The dead letters, the tiers, and those of one model.
QUEUES = 1 + len(TIERS) + len(PRIORITIES) * (1 + len(Lane))


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQNode]:
    """A node of this module's own: its users, alarms and queue processes are played with."""
    running_node = RabbitMQNode(tmp_path_factory.mktemp("rabbitmq"))
    running_node.start()
    yield running_node
    running_node.stop()


@pytest.fixture
async def namespace(node: RabbitMQNode) -> AsyncIterator[str]:
    name = f"t{uuid4().hex[:8]}"
    yield name
    await remove(node.url, name)


async def seen(url: str, namespace: str) -> list[Finding]:
    return await examine(url, namespace, ["m"], longest_call_s=300, max_body_bytes=8 * 1024 * 1024)


async def declare(channel: AbstractChannel, namespace: str) -> None:
    """Declare what a started Penstock with the model `m` would have."""
    topology = Topology(namespace)
    for exchange in topology.exchanges():
        await channel.exchange_declare(
            exchange.name,
            exchange_type=exchange.kind,
            durable=True,
            arguments=dict(exchange.arguments),
        )
    work = [topology.work_queue("m", priority, lane) for priority in PRIORITIES for lane in Lane]
    for queue in [*topology.shared_queues(), *topology.intake_queues(), *work]:
        await channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))


def a_user(node: RabbitMQNode, *rights: str) -> str:
    """Make a user with these rights (configure, write, read) and return its URL."""
    name = f"u{uuid4().hex[:8]}"
    node.place.control("add_user", name, _PASSWORD)
    node.place.control("set_permissions", name, *rights)
    return node.url.replace("guest:guest", f"{name}:{_PASSWORD}")


async def test_a_fresh_rabbitmq_is_well_and_stays_as_it_was(
    node: RabbitMQNode, namespace: str
) -> None:
    findings = await seen(node.url, namespace)
    assert bad(findings) == {}
    assert f"{QUEUES} not there yet" in one(findings, "queues").text
    assert namespace not in node.place.control("list_queues", "name")
    assert namespace not in node.place.control("list_exchanges", "name")


async def test_what_a_server_declared_is_as_declared(node: RabbitMQNode) -> None:
    async with running(node.url) as queue:
        consumer = await queue.consume("m", Priority.HIGH, Lane.OPEN, 1, lambda _: None)
        async with outside(node.url) as channel:
            await declare(channel, queue.namespace)
        findings = await seen(node.url, queue.namespace)
        await consumer.stop()
    assert bad(findings) == {}
    assert one(findings, "exchanges").text == f"{4 + len(TIERS)} as declared"
    assert one(findings, "queues").text.startswith(f"{QUEUES} as declared; 0 messages")


async def test_a_queue_with_other_arguments_is_named_and_kept(
    node: RabbitMQNode, namespace: str
) -> None:
    name = Topology(namespace).work_queue("m", Priority.LOW).name
    async with outside(node.url) as channel:
        await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
        await channel.basic_publish(b"kept", routing_key=name)
    findings = await seen(node.url, namespace)
    told = one(findings, "drift")
    assert told.verdict is Verdict.FAILED
    assert name in told.text
    assert "`x-delivery-limit`" in told.text or "`x-dead-letter" in told.text
    async with outside(node.url) as channel:
        assert (await channel.queue_declare(name, passive=True)).message_count == 1


async def test_an_exchange_of_another_kind_is_drift(node: RabbitMQNode, namespace: str) -> None:
    async with outside(node.url) as channel:
        await channel.exchange_declare(f"{namespace}.work", exchange_type="topic", durable=True)
        await channel.exchange_declare(f"{namespace}.dead", exchange_type="direct", durable=True)
    told = one(await seen(node.url, namespace), "drift")
    assert f"Exchange {namespace}.dead exists with another `type`" in told.text


async def test_an_intake_that_loses_strays_is_drift(node: RabbitMQNode, namespace: str) -> None:
    intake = Topology(namespace).intake.name
    async with outside(node.url) as channel:
        await channel.exchange_declare(intake, exchange_type="topic", durable=True)
    told = one(await seen(node.url, namespace), "drift")
    assert told.verdict is Verdict.FAILED
    assert f"Exchange {intake} exists with another `alternate-exchange`" in told.text


async def test_an_intake_queue_with_other_arguments_is_named(
    node: RabbitMQNode, namespace: str
) -> None:
    name = Topology(namespace).intake_queue(Priority.NORMAL).name
    async with outside(node.url) as channel:
        await channel.queue_declare(name, durable=True, arguments={"x-queue-type": "quorum"})
    told = one(await seen(node.url, namespace), "drift")
    assert told.verdict is Verdict.FAILED
    assert f"Queue {name} exists with another" in told.text


async def test_what_clients_published_and_no_door_takes_is_a_warning(
    node: RabbitMQNode, namespace: str
) -> None:
    name = Topology(namespace).intake_queue(Priority.HIGH).name
    async with outside(node.url) as channel:
        await declare(channel, namespace)
        await channel.basic_publish(b"", routing_key=name)
    told = one(await seen(node.url, namespace), "consumers")
    assert told.verdict is Verdict.WARNING
    assert f"1 in {name}" in told.text
    assert "an api" in told.advice


async def test_messages_that_nobody_takes_are_a_warning(node: RabbitMQNode, namespace: str) -> None:
    name = Topology(namespace).work_queue("m", Priority.BATCH).name
    async with outside(node.url) as channel:
        await declare(channel, namespace)
        await channel.basic_publish(b"", routing_key=name)
    assert bad(await seen(node.url, namespace)) == {
        "consumers": f"nobody takes what waits: 1 in {name}"
    }


async def test_a_queue_without_a_leader_is_named(node: RabbitMQNode, namespace: str) -> None:
    # Stopped like this, a queue that hands on at least once takes the node's supervisor with it.
    name = Topology(namespace).dead_queue.name
    member = f"{{'%2F_{name}', node()}}"
    async with outside(node.url) as channel:
        await declare(channel, namespace)
    node.place.control("eval", f"ra:stop_server(quorum_queues, {member}).")
    findings = await seen(node.url, namespace)
    node.place.control("eval", f"ra:restart_server(quorum_queues, {member}).")
    silent = [each for each in findings if each.verdict is Verdict.FAILED]
    assert [(each.check, name in each.text) for each in silent] == [("queues", True)]
    assert f"{QUEUES - 1} as declared" in "".join(each.text for each in findings)


@pytest.mark.parametrize(
    ("rights", "told"),
    [
        (("", "", ""), "may not configure {}.work-"),
        (("^{}\\.", "", ""), "may not write to {}.q.doctor-"),
        (("^{}\\.", "^{}\\.q\\.", "^{}\\."), "may not write to {}.work-"),
        (("^{}\\.", "^{}\\.", "^{}\\.work"), "may not read from {}.q.doctor-"),
    ],
)
async def test_each_missing_right_is_named(
    node: RabbitMQNode, namespace: str, rights: tuple[str, ...], told: str
) -> None:
    url = a_user(node, *(each.format(namespace) for each in rights))
    findings = await seen(url, namespace)
    assert told.format(namespace) in one(findings, "permissions").text
    assert "set_permissions" in one(findings, "permissions").advice
    assert namespace not in node.place.control("list_exchanges", "name")


async def test_rights_on_our_names_and_to_reply_are_enough(
    node: RabbitMQNode, namespace: str
) -> None:
    ours = f"^{namespace}\\."
    async with outside(node.url) as channel:
        await declare(channel, namespace)
    told = one(await seen(a_user(node, ours, ours, ours), namespace), "replies")
    assert told.verdict is Verdict.WARNING
    assert "may not write to amq.default" in told.text
    *_, configure, write, read = shlex.split(told.advice)
    assert bad(await seen(a_user(node, configure, write, read), namespace)) == {}


async def test_a_wrong_password_is_said_without_it(node: RabbitMQNode, namespace: str) -> None:
    url = node.url.replace("guest:guest", "guest:wrong-password")
    told = one(await seen(url, namespace), "reachable")
    assert told.text == "it refuses the password of user guest"


async def test_a_virtual_host_that_is_not_there_is_named(
    node: RabbitMQNode, namespace: str
) -> None:
    told = one(await seen(node.url.replace("%2F", "nowhere"), namespace), "reachable")
    assert "virtual host nowhere" in told.text


@pytest.mark.parametrize("url", ["http://127.0.0.1", "amqp://127.0.0.1:{}/"])
async def test_a_rabbitmq_that_is_away_is_one_failure(url: str) -> None:
    findings = await seen(url.format(reserve()), "penstock")
    assert list(bad(findings)) == ["reachable"]


async def test_an_alarm_is_told(node: RabbitMQNode, namespace: str) -> None:
    node.place.control("set_vm_memory_high_watermark", "0.00001")
    try:
        findings = await seen(node.url, namespace)
    finally:
        node.place.control("set_vm_memory_high_watermark", "absolute", "1GB")
    assert "memory or disk alarm" in one(findings, "messages").text


async def test_the_management_api_tells_a_policy_that_loses_requests(
    node: RabbitMQNode, namespace: str
) -> None:
    address = _with_management(node)
    async with outside(node.url) as channel:
        await declare(channel, namespace)
    assert bad(await examine_management(address, node.url, namespace)) == {}
    node.place.control("set_policy", namespace, f"^{namespace}\\.q", '{"max-length":5}')

    async def told() -> bool:
        findings = await examine_management(address, node.url, namespace)
        return "max-length=5" in bad(findings).get("policies", "")

    # The API gathers its figures every few seconds.
    assert await eventually(told, timeout_s=30) >= 0
    refused = await examine_management(address, a_user(node, "", "", ""), namespace)
    assert "refuses the user" in one(refused, "reachable").text


def _with_management(node: RabbitMQNode) -> str:
    port = reserve()
    node.place.control(
        "eval",
        "application:load(rabbitmq_management), application:set_env(rabbitmq_management, "
        f'tcp_config, [{{port, {port}}}, {{ip, "127.0.0.1"}}]).',
    )
    subprocess.run(
        [str(rabbitmq_program().folder / "rabbitmq-plugins"), "enable", "rabbitmq_management"],
        env=node.place.environment(),
        capture_output=True,
        check=True,
    )
    return f"http://127.0.0.1:{port}"


async def test_a_long_call_wants_a_longer_consumer_timeout(
    node: RabbitMQNode, namespace: str
) -> None:
    findings = await examine(node.url, namespace, [], longest_call_s=3600, max_body_bytes=1024)
    assert list(bad(findings)) == ["consumer_timeout"]
    assert "4320000 or more" in one(findings, "consumer_timeout").text
