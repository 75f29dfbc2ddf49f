"""Webhooks over HTTP: the unmodified OpenAI SDK, single requests' own URLs, deliveries."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import openai
import pytest

from schemas.webhooks import EVENT_TYPES, secret_of
from tests.e2e.door import Door, chat_body, open_door
from tests.fakes import hostile_urls
from tests.fakes.receiver import Got, Receiver, receiving, soon
from tests.fakes.stack import Setup
from tests.servers.ports import reserve

RETRY_S = [0, 0.1, 0.2]
SECRET = secret_of(b"k" * 32)
BASE = "/v1/webhook_endpoints"
COMPLETED: Any = ["request.completed"]


@pytest.fixture(scope="module")
def dead_port() -> int:
    """A port on which nobody listens, though webhooks may go there."""
    return reserve()


@pytest.fixture(scope="module")
def door(
    setup: Setup,
    receiver: Receiver,
    dead_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Door]:
    allowed = [f"127.0.0.1:{receiver.port}", f"127.0.0.1:{dead_port}"]
    hooks = {"allow": allowed, "timeout_s": 2, "retry_s": RETRY_S}
    whole = replace(setup, more={**setup.more, "webhooks": hooks})
    directory = tmp_path_factory.mktemp("webhooks")
    with open_door(directory, whole, ["echo", "slow-5000", "status-400"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def receiver(setup: Setup) -> Iterator[Receiver]:
    """Take what one engine sends, and nothing of the other."""
    with receiving() as running:
        yield running


@pytest.fixture
def client(door: Door) -> Iterator[openai.OpenAI]:
    url = f"{door.stack.url}/v1"
    with openai.OpenAI(base_url=url, api_key="anything", max_retries=0) as made:
        yield made


@pytest.fixture(autouse=True)
def no_endpoints(door: Door) -> None:
    """Each test begins without endpoints: they are told of every request."""
    for endpoint in door.ask("GET", f"{BASE}?limit=100").json["data"]:
        assert door.ask("DELETE", f"{BASE}/{endpoint['id']}").status == 200


def told_of(receiver: Receiver, request_id: str, path: str | None = None) -> list[Got]:
    """Return what has come about a request."""
    return [
        each
        for each in list(receiver.got)
        if json.loads(each.body)["data"].get("id") == request_id and path in (None, each.path)
    ]


def unwrap(client: openai.OpenAI, got: Got, secret: str) -> Any:
    return client.webhooks.unwrap(got.body, dict(got.headers), secret=secret)


def test_the_sdk_manages_endpoints(client: openai.OpenAI, receiver: Receiver) -> None:
    hooks = client.webhooks
    assert hooks.event_types.list().data == list(EVENT_TYPES)
    made = hooks.create(
        event_types=["response.completed"], name="ours", url=f"{receiver.url}/managed"
    )
    assert made.signing_secret.startswith("whsec_")
    assert made.object == "webhook_endpoint"
    found = hooks.retrieve(made.id)
    assert (found.name, found.url, found.event_types) == ("ours", made.url, ["response.completed"])
    assert made.signing_secret[-4:] in (found.signing_secret_hint or "")
    assert made.signing_secret not in repr(found)
    assert hooks.update(made.id, name="renamed").name == "renamed"
    others = [hooks.create(event_types=COMPLETED, name=f"n{n}", url=made.url) for n in range(3)]
    listed = [each.id for each in hooks.list(limit=2)]
    assert listed == [each.id for each in (*others[::-1], made)]
    tested = hooks.test(made.id, event_type="response.completed")
    assert (tested.success, tested.status_code) == (True, 200)
    (got,) = [each for each in receiver.got if each.path == "/managed"]
    event = unwrap(client, got, made.signing_secret)
    assert (event.type, event.object) == ("response.completed", "event")
    assert hooks.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError) as gone:
        hooks.retrieve(made.id)
    assert gone.value.code == "webhook_endpoint_not_found"


async def test_the_asynchronous_sdk_does_as_well(door: Door, receiver: Receiver) -> None:
    url = f"{door.stack.url}/v1"
    async with openai.AsyncOpenAI(base_url=url, api_key="anything", max_retries=0) as client:
        made = await client.webhooks.create(
            event_types=["response.failed"], name="a", url=f"{receiver.url}/async"
        )
        await client.webhooks.test(made.id, event_type="response.failed")
        (got,) = [each for each in receiver.got if each.path == "/async"]
        event = client.webhooks.unwrap(got.body, dict(got.headers), secret=made.signing_secret)
        assert event.type == "response.failed"
        assert (await client.webhooks.rotate_secret(made.id)).signing_secret != made.signing_secret
        assert (await client.webhooks.delete(made.id)).deleted


def test_every_end_is_told_to_the_endpoints_that_want_it(
    door: Door, client: openai.OpenAI, receiver: Receiver
) -> None:
    types: Any = ["request.completed", "request.failed", "request.cancelled", "request.expired"]
    made = client.webhooks.create(event_types=types, name="all", url=f"{receiver.url}/all")
    some = client.webhooks.create(event_types=COMPLETED, name="s", url=f"{receiver.url}/some")
    held = door.chat("echo").headers["x-request-id"]
    failed, running = door.submit("status-400"), door.submit("slow-5000")
    late = door.submit("echo", not_before=time.time() + 1, deadline=time.time() + 1.2)
    door.ask("POST", f"/v1/requests/{running}/cancel")
    ends = {held: "completed", failed: "failed", running: "cancelled"}
    for request_id, status in ends.items():
        (got,) = soon(partial(told_of, receiver, request_id, "/all"))
        event = unwrap(client, got, made.signing_secret)
        assert event.type == f"request.{status}"
        shown = door.ask("GET", f"/v1/requests/{request_id}").json
        del shown["history"]
        assert json.loads(got.body)["data"] == shown
        assert (got.headers["content-type"], got.id[:3]) == ("application/json", "wh_")
    (own,) = soon(lambda: told_of(receiver, held, "/some"))
    unwrap(client, own, some.signing_secret)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(client, own, made.signing_secret)
    assert not told_of(receiver, failed, "/some")
    ended = door.ended(late)["status"]
    soon(lambda: told_of(receiver, late, "/all"))
    assert json.loads(told_of(receiver, late, "/all")[0].body)["type"] == f"request.{ended}"


def test_a_request_names_its_own_receiver(
    door: Door, client: openai.OpenAI, receiver: Receiver
) -> None:
    secret = door.ask("GET", "/v1/webhook_secret").json["signing_secret"]
    request_id = door.submit("echo", webhook=f"{receiver.url}/own")
    (got,) = soon(lambda: told_of(receiver, request_id))
    assert unwrap(client, got, secret).type == "request.completed"
    assert "webhook" not in door.ask("GET", f"/v1/requests/{request_id}").json

    signed = {"url": f"{receiver.url}/signed", "secret": SECRET}
    own = door.submit("echo", webhook=signed)
    (got,) = soon(lambda: told_of(receiver, own))
    unwrap(client, got, SECRET)

    unwanted = {"url": f"{receiver.url}/none", "event_types": ["request.failed"]}
    quiet = door.submit("echo", webhook=unwanted)
    door.ended(quiet)

    rotated = door.ask("POST", "/v1/webhook_secret/rotate").json["signing_secret"]
    assert rotated != secret
    later = door.submit("echo", webhook=f"{receiver.url}/own")
    (got,) = soon(lambda: told_of(receiver, later))
    unwrap(client, got, rotated)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(client, got, secret)
    assert not told_of(receiver, quiet)


def test_an_old_secret_signs_on_for_a_day_if_it_is_asked_for(
    door: Door, client: openai.OpenAI, receiver: Receiver
) -> None:
    made = client.webhooks.create(event_types=COMPLETED, name="r", url=f"{receiver.url}/rotated")
    new = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    request_id = door.submit("echo")
    (got,) = soon(lambda: told_of(receiver, request_id))
    for secret in (made.signing_secret, new.signing_secret):
        unwrap(client, got, secret)
    newest = client.webhooks.rotate_secret(made.id)
    request_id = door.submit("echo")
    (got,) = soon(lambda: told_of(receiver, request_id))
    unwrap(client, got, newest.signing_secret)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        unwrap(client, got, new.signing_secret)


def deliveries(door: Door, request_id: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = door.ask(
        "GET", f"/v1/webhook_deliveries?request_id={request_id}"
    ).json["data"]
    return data


def settled(door: Door, request_id: str, status: str) -> dict[str, Any]:
    return soon(
        lambda: next((d for d in deliveries(door, request_id) if d["status"] == status), None)
    )


def test_a_failing_receiver_is_tried_again_and_can_be_redelivered(
    door: Door, receiver: Receiver
) -> None:
    url = f"{receiver.url}/status/500"
    request_id = door.submit("echo", webhook=url)
    failed = settled(door, request_id, "failed")
    assert failed["attempts"] == len(RETRY_S)
    assert [each["status_code"] for each in failed["history"]] == [500] * len(RETRY_S)
    assert failed["history"][0]["message"] == "it answered 500: said so"
    got = told_of(receiver, request_id)
    assert {each.id for each in got} == {failed["id"]}
    assert len({each.body for each in got}) == 1

    again = door.ask("POST", f"/v1/webhook_deliveries/{failed['id']}/redeliver")
    assert (again.status, again.json["status"]) == (200, "pending")
    soon(lambda: len(told_of(receiver, request_id)) == 2 * len(RETRY_S))
    settled(door, request_id, "failed")
    asked = {"request_id": request_id, "created_after": 1}
    many = door.ask("POST", "/v1/webhook_deliveries/redeliver", asked)
    assert (many.json["redelivered"], many.json["has_more"]) == (1, False)
    soon(lambda: len(told_of(receiver, request_id)) == 3 * len(RETRY_S))
    door.ask("POST", "/v1/webhook_deliveries/redeliver", {}).assert_refused("invalid_body")
    door.ask("POST", f"/v1/webhook_deliveries/wh_{'0' * 32}/redeliver").assert_refused(
        "webhook_delivery_not_found"
    )


def test_a_receiver_that_is_gone_is_disabled_until_it_is_enabled(
    door: Door, client: openai.OpenAI, receiver: Receiver
) -> None:
    made = client.webhooks.create(event_types=COMPLETED, name="gone", url=f"{receiver.url}/gone")
    request_id = door.submit("echo")
    assert settled(door, request_id, "dropped")["webhook_endpoint_id"] == made.id
    soon(lambda: door.ask("GET", f"{BASE}/{made.id}").json["disabled_at"])
    refused = door.ask("POST", f"{BASE}/{made.id}/test", {"event_type": "request.completed"})
    refused.assert_refused("webhook_unreachable")
    quiet = door.submit("echo")
    door.ended(quiet)
    enabled = door.ask(
        "POST", f"{BASE}/{made.id}", {"disabled": False, "url": f"{receiver.url}/back"}
    )
    assert enabled.json["disabled_at"] is None
    loud = door.submit("echo")
    soon(lambda: told_of(receiver, loud, "/back"))
    assert not told_of(receiver, quiet)
    of_it = door.ask("GET", f"{BASE}/{made.id}/deliveries").json["data"]
    assert {each["request_id"] for each in of_it} == {request_id, loud}


def test_nothing_hostile_is_registered_or_submitted(door: Door) -> None:
    for url in hostile_urls.EVERY:
        # One that is far too long is no text of the right form.
        code = "invalid_webhook_url" if len(url) <= 2_000 else "invalid_body"
        made = door.ask("POST", BASE, {"name": "x", "url": url, "event_types": COMPLETED})
        made.assert_refused(code)
        body = {"body": chat_body("echo"), "webhook": url}
        door.ask("POST", "/v1/requests", body).assert_refused(code)
    assert door.ask("GET", BASE).json["data"] == []


@pytest.mark.parametrize(
    "secret",
    ["whsec_", "whsec_AAAA", "whsec_!!!!", secret_of(b"k" * 65), secret_of(b"k" * 23), "x" * 40],
)
def test_a_weak_or_unreadable_secret_is_refused(door: Door, secret: str) -> None:
    webhook = {"url": "https://hooks.example.com/", "secret": secret}
    told = door.ask("POST", "/v1/requests", {"body": chat_body("echo"), "webhook": webhook})
    told.assert_refused("invalid_body")
    assert secret not in told.body.decode() or secret == "whsec_"
    assert told.json["error"]["param"] == "webhook.secret"


def test_an_unreachable_receiver_is_told_by_the_test(door: Door, dead_port: int) -> None:
    url = f"http://127.0.0.1:{dead_port}/"
    made = door.ask("POST", BASE, {"name": "x", "url": url, "event_types": COMPLETED}).json
    told = door.ask("POST", f"{BASE}/{made['id']}/test", {"event_type": "request.failed"})
    told.assert_refused("webhook_unreachable")
    assert "Connection refused" in told.json["error"]["message"]
    for path in (f"{BASE}/nonsense", f"{BASE}/we_{'0' * 32}", f"{BASE}/nonsense/deliveries"):
        door.ask("GET", path).assert_refused("webhook_endpoint_not_found")


def test_there_is_a_most_of_endpoints(door: Door, receiver: Receiver) -> None:
    asked = {"name": "x", "url": f"{receiver.url}/", "event_types": COMPLETED}
    for _ in range(200):
        assert door.ask("POST", BASE, asked).status == 200
    door.ask("POST", BASE, asked).assert_refused("too_many_webhook_endpoints")
