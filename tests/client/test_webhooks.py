"""Only what was signed with the secret, and lately, is taken for a webhook."""

from __future__ import annotations

import base64
import json
import time
from datetime import UTC, datetime

import pytest
from penstock import InvalidSignature, webhooks
from standardwebhooks.webhooks import Webhook

from tests.client.scripted import REQUEST_ID, request_json

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
CONTENT = {
    "id": "evt_1",
    "object": "event",
    "created_at": 1_750_861_210,
    "type": "request.completed",
    "data": request_json("completed"),
}
PAYLOAD = json.dumps(CONTENT)


def signed(payload: str, age_s: float = 0, secret: str = SECRET) -> dict[str, str]:
    at = datetime.fromtimestamp(time.time() - age_s, UTC)
    return {
        "Webhook-Id": "wh_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": Webhook(secret).sign("wh_1", at, payload),
    }


@pytest.mark.parametrize("payload", [PAYLOAD, PAYLOAD.encode()])
def test_a_signed_webhook_is_its_event(payload: str | bytes) -> None:
    event = webhooks.verify(payload, signed(PAYLOAD), SECRET)
    assert (event.id, event.type) == ("evt_1", "request.completed")
    assert event.request is not None
    assert (event.request.id, event.request.status) == (REQUEST_ID, "completed")


def test_of_several_signatures_one_is_enough() -> None:
    headers = signed(PAYLOAD)
    other = signed(PAYLOAD, secret="whsec_" + base64.b64encode(KEY[::-1]).decode())
    headers["Webhook-Signature"] = f"{other['Webhook-Signature']} {headers['Webhook-Signature']}"
    assert webhooks.verify(PAYLOAD, headers, SECRET).id == "evt_1"


def test_what_is_about_no_request_has_none() -> None:
    payload = json.dumps({**CONTENT, "type": "response.completed", "data": {"id": "resp_1"}})
    assert webhooks.verify(payload, signed(payload), SECRET).request is None


@pytest.mark.parametrize(
    ("payload", "headers"),
    [
        (PAYLOAD + " ", signed(PAYLOAD)),
        (PAYLOAD, signed(PAYLOAD, age_s=900)),
        # Signed when the tests are collected, which may be long before this one runs.
        (PAYLOAD, signed(PAYLOAD, age_s=-100_000)),
        (PAYLOAD, signed(PAYLOAD, secret="whsec_" + base64.b64encode(KEY[::-1]).decode())),
        (PAYLOAD, {}),
        (PAYLOAD, {**signed(PAYLOAD), "Webhook-Timestamp": "soon"}),
        (PAYLOAD, {**signed(PAYLOAD), "Webhook-Signature": "v1,"}),
        (PAYLOAD, {**signed(PAYLOAD), "Webhook-Signature": "nonsense"}),
        ("[]", signed("[]")),
        ("{", signed("{")),
        ('{"id": "evt_1"}', signed('{"id": "evt_1"}')),
    ],
)
def test_all_else_is_refused(payload: str, headers: dict[str, str]) -> None:
    with pytest.raises(InvalidSignature):
        webhooks.verify(payload, headers, SECRET)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_!!!!", "secret"])
def test_a_secret_that_protects_nothing_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="24 bytes"):
        webhooks.verify(PAYLOAD, signed(PAYLOAD), secret)
