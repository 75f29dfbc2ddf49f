"""Asking RabbitMQ's management API; what its answers mean is judged in broker/amqp."""

from __future__ import annotations

import asyncio
import base64
import time
from urllib.parse import quote, unquote, urlsplit

from broker.amqp.management import PART, judge
from broker.findings import Examined, Finding
from cli.client import Fetched, Unreachable, fetch

ANSWER_S = 5.0


async def examine(management_url: str, amqp_url: str, namespace: str) -> list[Finding]:
    """Return what the API tells; without a user in its URL that of `amqp_url` asks."""
    examined = Examined(PART)
    address, headers = _address(management_url, amqp_url)
    vhost = quote(unquote(urlsplit(amqp_url).path.removeprefix("/")) or "/", safe="")
    try:
        nodes, queues = await asyncio.gather(
            fetch(f"{address}/api/nodes", headers, ANSWER_S),
            fetch(f"{address}/api/queues/{vhost}", headers, ANSWER_S),
        )
    except Unreachable as error:
        examined.fail("reachable", f"{address}: {error}", "correct --management-url")
        return examined.findings
    for answer in (nodes, queues):
        if not isinstance(answer.content, list):
            examined.fail("reachable", *_why_not(address, answer))
            return examined.findings
    return judge(nodes.content, queues.content, nodes.date, time.time(), namespace)


def _address(management_url: str, amqp_url: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(management_url)
    given = parts if parts.username else urlsplit(amqp_url)
    user, password = unquote(given.username or "guest"), unquote(given.password or "guest")
    credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
    address = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    return address, {"Authorization": f"Basic {credentials}"}


def _why_not(address: str, answer: Fetched) -> tuple[str, str]:
    if answer.status == 401:
        return (
            f"{address} refuses the user, or the user has no tag for it",
            "name one in --management-url; `rabbitmqctl set_user_tags USER monitoring` admits it",
        )
    return f"{address} answers {answer.status}: no management API", "correct --management-url"
