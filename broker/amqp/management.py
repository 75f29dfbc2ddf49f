"""What RabbitMQ's management API tells beyond AMQP: nodes, alarms, headroom, clock, policies.

Pure: the JSON is fetched elsewhere. It does not tell consumer_timeout and the like.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import Any

from broker.findings import Examined, Finding

PART = "RabbitMQ management"
# A policy with one of these loses or refuses requests in queues that must keep every one.
HARMFUL = ("expires", "max-length", "max-length-bytes", "message-ttl", "delivery-limit", "overflow")
_SKEW_S = 2.0  # the header that tells the time is cut to whole seconds
_MIB = 1024 * 1024

Json = dict[str, Any]


def judge(
    nodes: list[Json], queues: list[Json], date: str | None, now: float, namespace: str
) -> list[Finding]:
    """Return what `/api/nodes` and `/api/queues/VHOST` say; `date` is the answer's Date header."""
    examined = Examined(PART)
    _nodes(examined, nodes)
    _alarms(examined, nodes)
    ours = [each for each in queues if str(each.get("name", "")).startswith(f"{namespace}.")]
    _majorities(examined, ours)
    _policies(examined, ours)
    _clock(examined, date, now)
    return examined.findings


def _nodes(examined: Examined, nodes: list[Json]) -> None:
    down = [str(node.get("name")) for node in nodes if not node.get("running")]
    split = [str(node.get("name")) for node in nodes if node.get("partitions")]
    if down or split:
        trouble = [f"{name} does not run" for name in down]
        trouble += [f"{name} sees a partition" for name in split]
        examined.fail("nodes", "; ".join(trouble), "`rabbitmqctl cluster_status` tells more")
    else:
        examined.ok("nodes", f"{len(nodes)} of {len(nodes)} run")


def _alarms(examined: Examined, nodes: list[Json]) -> None:
    for node in nodes:
        name = node.get("name")
        raised = [kind for kind in ("mem", "disk_free") if node.get(f"{kind}_alarm")]
        if raised:
            examined.fail(
                "alarms",
                f"{name}: {' and '.join(raised)} alarm: RabbitMQ takes no messages",
                "free memory or disk, or raise the limit",
            )
        elif node.get("running"):
            examined.ok(
                "headroom",
                f"{name}: memory {_mib(node, 'mem_used')} of {_mib(node, 'mem_limit')} MiB, "
                f"{_mib(node, 'disk_free')} MiB of disk free",
            )


def _mib(node: Json, name: str) -> str:
    value = node.get(name)
    return f"{value / _MIB:,.0f}" if isinstance(value, int | float) else "?"


def _majorities(examined: Examined, ours: list[Json]) -> None:
    lost = [
        str(queue["name"])
        for queue in ours
        if 2 * len(queue.get("online", [0])) <= len(queue.get("members", [0]))
    ]
    if lost:
        examined.fail(
            "majorities",
            f"most members are away of {', '.join(lost)}: nothing goes in or out",
            "bring the missing RabbitMQ nodes back",
        )
    else:
        examined.ok("majorities", f"each of {len(ours)} queues has one")


def _policies(examined: Examined, ours: list[Json]) -> None:
    harmed = False
    for queue in ours:
        policy = queue.get("effective_policy_definition") or {}
        harmful = [f"{name}={policy[name]}" for name in HARMFUL if name in policy]
        if harmful:
            harmed = True
            examined.fail(
                "policies",
                f"{queue['name']} is under {', '.join(harmful)} (policy {queue.get('policy')})",
                "take it off Penstock's queues: it can lose or refuse accepted requests",
            )
    if not harmed:
        examined.ok("policies", f"none that loses requests, on {len(ours)} queues")


def _clock(examined: Examined, date: str | None, now: float) -> None:
    try:
        skew_s = parsedate_to_datetime(date or "").timestamp() - now
    except ValueError:
        examined.note("clock", "it tells no time")
        return
    if abs(skew_s) > _SKEW_S:
        examined.warn(
            "clock",
            f"RabbitMQ's is {skew_s:+.0f} s off this machine's",
            "run a time service (chrony, systemd-timesyncd) on both machines",
        )
    else:
        examined.ok("clock", f"within {_SKEW_S:g} s of this machine's")
