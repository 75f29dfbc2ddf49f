"""Checking that a webhook is from your Penstock.

>>> from penstock import InvalidSignature, webhooks
>>> def receive(body: bytes, headers: dict[str, str]) -> int:
...     try:
...         event = webhooks.verify(body, headers, secret="whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")
...     except InvalidSignature:
...         return 400
...     print(event.type, event.data["id"])
...     return 204
>>> receive(b"{}", {"webhook-id": "msg_1"})
400
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from penstock.errors import InvalidSignature
from penstock.shapes import Request

_PREFIX = "whsec_"
_LEAST_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True)
class Event:
    """What a webhook tells. The same event may come twice, with the same `id`.

    >>> from penstock.webhooks import Event
    >>> Event("evt_1", "response.completed", 1763971200, {"id": "resp_1"}).request is None
    True
    """

    id: str
    type: str
    created_at: float
    data: Mapping[str, Any]

    @property
    def request(self) -> Request | None:
        """The request that a `request.*` event is about; without a large answer's body."""
        return Request.of(self.data) if self.data.get("object") == "request" else None


def verify(payload: bytes | str, headers: Mapping[str, str], secret: str) -> Event:
    """Return the event in a webhook that was signed with `secret`, at most five minutes ago.

    `payload` is the body as it came, `headers` those of the call, in any case. Raises
    InvalidSignature, and ValueError for a secret that cannot be one.

    >>> import base64, hashlib, hmac, time
    >>> from penstock import webhooks
    >>> key = b"0123456789abcdef01234567"
    >>> payload = '{"id": "evt_1", "object": "event", "created_at": 1, "type": "t", "data": {}}'
    >>> now = str(int(time.time()))
    >>> signed = hmac.digest(key, f"msg_1.{now}.{payload}".encode(), "sha256")
    >>> headers = {
    ...     "webhook-id": "msg_1",
    ...     "webhook-timestamp": now,
    ...     "webhook-signature": "v1," + base64.b64encode(signed).decode(),
    ... }
    >>> webhooks.verify(payload, headers, "whsec_" + base64.b64encode(key).decode()).type
    't'
    """
    checked = Webhook(_usable(secret))
    known = {name.lower(): value for name, value in headers.items()}
    try:
        checked.verify(payload, known)
        told = json.loads(payload)
        return Event(told["id"], told["type"], told["created_at"], told["data"])
    except WebhookVerificationError as error:
        raise InvalidSignature(str(error)) from None
    except (ValueError, KeyError, TypeError):
        raise InvalidSignature("this is signed, but no event") from None


def _usable(secret: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < _LEAST_SECRET_BYTES:
        raise ValueError(f"a webhook secret is whsec_ and {_LEAST_SECRET_BYTES} bytes in base64")
    return secret
