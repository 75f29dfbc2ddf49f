"""Standard Webhooks signatures, made anew for each attempt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from standardwebhooks import Webhook

from broker.ports.webhooks import SigningSecret


def signed_headers(
    post_id: str, body: bytes, secrets: Iterable[SigningSecret], now: float
) -> dict[str, str]:
    """Return the three headers; every secret that is valid at `now` (Unix seconds) signs.

    The timestamp is that of the attempt: receivers refuse one that is five minutes old.
    """
    at, text = datetime.fromtimestamp(int(now), UTC), body.decode()
    valid = (each.text for each in secrets if each.until is None or each.until > now)
    return {
        "webhook-id": post_id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": " ".join(Webhook(each).sign(post_id, at, text) for each in valid),
    }
