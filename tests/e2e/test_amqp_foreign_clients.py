"""Clients that Penstock knows nothing of, as the user that `penstock amqp grant` makes."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

import pytest

from schemas.keys import hash_of, new_key
from tests.clients.blocking import Told, asks
from tests.e2e.door import Door, open_door
from tests.e2e.penstock import ROOT, penstock
from tests.fakes.stack import Setup
from tests.servers.node import node_modules
from tests.servers.rabbitmq_place import RabbitMQPlace
from tests.servers.session import SharedServers

pytestmark = pytest.mark.realservers

MODELS = ("echo", "slow-60000")
_LIMIT_S = 60


@dataclass(frozen=True, slots=True)
class Place:
    """Where a client asks, and as whom."""

    door: Door
    url: str
    user: str
    exchange: str


@pytest.fixture(scope="module")
def place(
    servers: SharedServers,
    amqp_url: str,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    directory, namespace = tmp_path_factory.mktemp("amqp"), f"t{secrets.token_hex(4)}"
    node = servers.rabbitmq_place()
    # The user of a RabbitMQ from outside stands in for one that cannot be made there.
    own = urlsplit(amqp_url).username or "guest"
    user = own if node is None else f"acme-{secrets.token_hex(4)}"
    key = new_key()
    keys = [{"name": "first", "hash": hash_of(key)}]
    setup = Setup(
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": namespace},
        more={"tenants": {user: {"models": ["*"], "keys": keys}}},
    )
    with open_door(directory, setup, MODELS, timeout_s=90, key=key) as door:
        url = amqp_url if node is None else _granted(node, door, amqp_url, user)
        yield Place(door, url, user, f"{namespace}.intake")
        if node is not None:
            node.control("delete_user", user)


def _granted(node: RabbitMQPlace, door: Door, amqp_url: str, user: str) -> str:
    """Return the URL of a user as the command makes it."""
    config, folder = door.stack.config_files[0], door.stack.directory
    done = penstock(
        *("amqp", "grant", user, "--config", str(config), "--json"),
        *("--apply", "--rabbitmqctl", str(node.program(folder))),
        env={"PENSTOCK_AMQP_URL": amqp_url, "PENSTOCK_REDIS_URL": "redis://127.0.0.1"},
    )
    assert done.returncode == 0, done.stderr
    parts = urlsplit(amqp_url)
    password = quote(json.loads(done.stdout)["password"], safe="")
    return f"amqp://{quote(user)}:{password}@{parts.netloc.rpartition('@')[2]}{parts.path}"


def _by_pika(place: Place) -> dict[str, Told]:
    return asks(place.url, place.exchange, place.user)


def _by_amqplib(place: Place) -> dict[str, Told]:
    script = ROOT / "tests" / "clients" / "node" / "asks.mjs"
    done = subprocess.run(
        ["node", str(script), place.url, place.exchange, place.user],
        cwd=node_modules().parent,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Told] = json.loads(done.stdout)
    return told


CLIENTS = {"pika": _by_pika, "amqplib": _by_amqplib}


@pytest.fixture(scope="module", params=CLIENTS)
def told(request: pytest.FixtureRequest, place: Place) -> dict[str, Told]:
    """What a client was told, each by the step that asked for it."""
    return CLIENTS[request.param](place)


def test_a_request_is_answered_to_whom_it_belongs(told: dict[str, Told], place: Place) -> None:
    reply = told["completed"]
    assert reply["type"] == "request.completed"
    body = reply["body"]
    assert reply["headers"] == {"x-penstock-id": body["id"], "x-penstock-status-code": 200}
    assert (body["tenant"], body["model"], body["priority"]) == (place.user, "echo", "high")
    (call,) = place.door.calls_of(body["id"])
    said = body["response"]["body"]["choices"][0]["message"]["content"]
    assert said == f"echo {call['nonce']}"


def test_every_reply_has_the_correlation_id_of_its_message(told: dict[str, Told]) -> None:
    asked = [reply for step, reply in told.items() if step != "ended"]
    assert len({reply["sent"] for reply in asked}) == len(asked)
    assert all(reply["correlationId"] == reply["sent"] for reply in told.values())


def test_a_model_that_is_not_there_is_refused(told: dict[str, Told]) -> None:
    reply = told["refused"]
    assert reply["type"] == "request.failed"
    assert reply["headers"] == {"x-penstock-status-code": 404}
    body = reply["body"]
    assert (body["id"], body["status"]) == (None, "failed")
    assert (body["error"]["code"], body["error"]["param"]) == ("model_not_found", "model")


def test_a_cancel_is_told_to_both_who_wait(told: dict[str, Told], place: Place) -> None:
    accepted, cancelled = told["accepted"], told["cancelled"]
    assert accepted["headers"]["x-penstock-status-code"] == 202
    assert told["ended"]["sent"] == accepted["sent"]
    for reply in (cancelled, told["ended"]):
        assert reply["type"] == "request.cancelled"
        assert reply["body"]["id"] == accepted["body"]["id"]
    assert place.door.ended(accepted["body"]["id"])["status"] == "cancelled"
