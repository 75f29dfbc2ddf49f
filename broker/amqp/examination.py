"""The examination of RabbitMQ over AMQP: reached, young enough, and does for us what we need."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from aio_pika.connection import make_url
from aiormq.exceptions import AuthenticationError, ProbableAuthenticationError

from broker.amqp.connection import HEARTBEAT_S, OLDEST
from broker.amqp.probe_queue import try_rights
from broker.amqp.probing import Prober
from broker.amqp.session import Session
from broker.amqp.topology_examination import look_at_topology
from broker.findings import Examined, Finding
from broker.topology import Topology
from schemas.errors import QueueUnavailable

PART = "RabbitMQ"
DEFAULT_CONSUMER_TIMEOUT_S = 1_800
DEAD_LETTER_TIMEOUT_MS = 10_000
EXAMINATION_S = 60
# Besides the call, a delivery may wait in a window, and be checked late.
CALL_SHARE = 1.2
_MIB = 1024 * 1024


async def examine(
    url: str, namespace: str, models: Iterable[str], longest_call_s: float, max_body_bytes: int
) -> list[Finding]:
    """Return what is found at `url` for these models. Nothing that lasts is declared."""
    examined = Examined(PART)
    if not url.startswith(("amqp://", "amqps://")):
        examined.fail("reachable", "amqp_url is no amqp:// or amqps:// URL", "correct it")
        return examined.findings
    address = make_url(url, heartbeat=HEARTBEAT_S, name="penstock doctor")
    try:
        session = await Session.open(address)
    except QueueUnavailable as error:
        examined.fail("reachable", *_why_not(error, url))
        return examined.findings
    prober = Prober(address, session)
    try:
        examined.ok("reachable", f"{_place(url)}, heartbeat {HEARTBEAT_S} s")
        _version(examined, session.version)
        topology = Topology(namespace)
        async with asyncio.timeout(EXAMINATION_S):
            if await try_rights(examined, prober, topology, _user(url)):
                await look_at_topology(examined, prober, topology, models)
    except QueueUnavailable as error:
        examined.fail("connection", str(error), "look at RabbitMQ's log")
    except TimeoutError:
        examined.fail("connection", f"not done after {EXAMINATION_S} s", "is RabbitMQ overloaded?")
    finally:
        await prober.close()
    _settings(examined, longest_call_s, max_body_bytes)
    return examined.findings


def _why_not(error: Exception, url: str) -> tuple[str, str]:
    """Return what happened and what to do."""
    if isinstance(error.__cause__, AuthenticationError | ProbableAuthenticationError):
        return (
            f"it refuses the password of user {_user(url)}",
            "correct amqp_url; `guest` may come from loopback only",
        )
    # The client library hides RabbitMQ's answer to the opening of a virtual host behind this.
    if "Connection.OpenOk" in str(error):
        return (
            f"there is no {_place(url)}, or user {_user(url)} may not use it",
            "`rabbitmqctl add_vhost` makes one, `rabbitmqctl set_permissions -p` opens it",
        )
    return str(error), "is it running, and are host, port and TLS (amqps://) of amqp_url right?"


def _user(url: str) -> str:
    return urlsplit(url).username or "guest"


def _place(url: str) -> str:
    parts = urlsplit(url)
    vhost = parts.path.removeprefix("/").replace("%2F", "/").replace("%2f", "/") or "/"
    return f"{parts.hostname}:{parts.port or 5672}, virtual host {vhost}"


def _version(examined: Examined, version: str) -> None:
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if len(numbers) < 2:
        examined.note("version", f"{version}: not known here", "Penstock needs RabbitMQ 3.10 to 4")
    elif numbers < OLDEST:
        examined.fail("version", f"RabbitMQ {version} is too old", "upgrade to 3.10 or newer")
    elif (4, 0) <= numbers <= (4, 2):
        examined.warn(
            "version",
            f"RabbitMQ {version}: enabling the feature flag rabbitmq_4.0.0 over data of 3.x can "
            "crash quorum queues and lose confirmed messages",
            "do not upgrade a 3.x data directory in place: drain it and start 4.x afresh",
        )
    else:
        examined.ok("version", f"RabbitMQ {version}")


def wanted_consumer_timeout_ms(longest_call_s: float) -> int:
    """Return the consumer timeout that a call of `longest_call_s` needs."""
    return math.ceil(max(DEFAULT_CONSUMER_TIMEOUT_S, CALL_SHARE * longest_call_s)) * 1000


def _settings(examined: Examined, longest_call_s: float, max_body_bytes: int) -> None:
    """Say what RabbitMQ tells to nobody but its own tools, and what it should be."""
    wanted = wanted_consumer_timeout_ms(longest_call_s)
    command = "rabbitmqctl eval 'application:get_env(rabbit, {})'"
    default_is_short = wanted > DEFAULT_CONSUMER_TIMEOUT_S * 1000
    say: Callable[[str, str, str], None] = examined.warn if default_is_short else examined.note
    say(
        "consumer_timeout",
        f"not readable here; a call may take {longest_call_s:g} s, so it must be {wanted} or more"
        + (" (the default is 1800000)" if default_is_short else ""),
        command.format("consumer_timeout"),
    )
    examined.note(
        "dead-letter timeout",
        f"not readable here; {DEAD_LETTER_TIMEOUT_MS} is wanted (the default makes retries wait "
        "3 minutes after a crash of RabbitMQ)",
        command.format("dead_letter_worker_publisher_confirm_timeout"),
    )
    examined.note(
        "message size",
        "bodies over 256 KiB lie in blobs, but what clients publish may be up to "
        f"{max_body_bytes / _MIB:g} MiB; RabbitMQ takes 128 MiB (3.x) or 16 MiB (4.x) unless "
        "max_message_size says otherwise",
    )
