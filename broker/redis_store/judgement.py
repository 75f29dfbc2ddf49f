"""What a server's reading means: pure, one function a check."""

from __future__ import annotations

from broker.findings import Examined, Finding
from broker.guarantee import APPENDFSYNC_UNKNOWN
from broker.redis_store.health import Facts, eviction_policy, keeps_a_log
from broker.redis_store.reading import Reading

PART = "Redis"
OLDEST = (7, 0)
SKEW_WARN_S, SKEW_FAIL_S = 1.0, 5.0
SLOW_S = 0.02
FULL = 0.8
_MIB = 1024 * 1024


def judge(reading: Reading) -> list[Finding]:
    """Return the findings of one server."""
    examined = Examined(PART)
    _version(examined, reading.facts)
    _role(examined, reading)
    _log_file(examined, reading)
    _written(examined, reading.facts)
    _policy(examined, reading.facts)
    _memory(examined, reading.facts)
    _rights(examined, reading)
    _clock(examined, reading.skew_s)
    _speed(examined, reading.round_trip_s)
    return examined.findings


def _version(examined: Examined, facts: Facts) -> None:
    text = facts.get("redis_version", "unknown")
    name = facts.get("server_name", "redis").capitalize()
    own = facts.get("valkey_version")
    said = f"{name} {own} (as Redis {text})" if own else f"Redis {text}"
    numbers = text.split(".")[:2]
    if not all(number.isdigit() for number in numbers):
        examined.note("version", f"{said}: not known here", "Penstock needs Redis 7.0 or newer")
    elif tuple(map(int, numbers)) < OLDEST:
        examined.fail("version", f"{said} is too old", "upgrade to Redis 7.0 or newer, or Valkey")
    else:
        examined.ok("version", said)


def _role(examined: Examined, reading: Reading) -> None:
    facts = reading.facts
    if facts.get("role") not in (None, "master"):
        primary = f"{facts.get('master_host')}:{facts.get('master_port')}"
        examined.fail("role", f"a replica of {primary}: it takes no writes", "name the primary")
    elif reading.cluster_state not in (None, "ok"):
        examined.fail(
            "role",
            f"the cluster does not serve every slot ({reading.cluster_state})",
            "look at `redis-cli --cluster check`",
        )
    elif replicas := int(facts.get("connected_slaves", 0)):
        examined.note(
            "role",
            f"primary with {replicas} replicas; commits do not wait for them",
            "the loss of this machine can lose the last requests that were told as finished",
        )
    else:
        examined.ok("role", "primary" if reading.cluster_state is None else "primary in a cluster")


def _log_file(examined: Examined, reading: Reading) -> None:
    if not keeps_a_log(reading.facts):
        examined.fail(
            "append-only file",
            "appendonly no: a restart forgets every record and result",
            "set appendonly yes",
        )
    elif reading.appendfsync == APPENDFSYNC_UNKNOWN:
        examined.note(
            "append-only file",
            "appendonly yes; appendfsync could not be read"
            + (f" ({reading.unreadable})" if reading.unreadable else ""),
            "ask the service's owner; it is taken for everysec below",
        )
    elif reading.appendfsync == "no":
        examined.fail(
            "append-only file",
            "appendfsync no: a power loss takes up to 30 s of what was confirmed",
            "set appendfsync everysec or always",
        )
    else:
        examined.ok("append-only file", f"appendonly yes, appendfsync {reading.appendfsync}")


def _written(examined: Examined, facts: Facts) -> None:
    names = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")
    failed = [name for name in names if facts.get(name, "ok") != "ok"]
    if facts.get("loading", "0") != "0":
        examined.fail("persistence", "it still loads its data", "wait until it has")
    elif failed:
        examined.fail(
            "persistence",
            f"it could not write to its disk: {', '.join(failed)}",
            "look at Redis's log and at the free space of its disk",
        )
    else:
        examined.ok("persistence", "the last writes to disk went well")


def _policy(examined: Examined, facts: Facts) -> None:
    policy = eviction_policy(facts)
    if policy == "noeviction":
        examined.ok("eviction", "maxmemory-policy noeviction")
    else:
        examined.fail(
            "eviction",
            f"maxmemory-policy {policy}: accepted requests may be evicted",
            "set maxmemory-policy noeviction",
        )


def _memory(examined: Examined, facts: Facts) -> None:
    used, most = int(facts.get("used_memory", 0)), int(facts.get("maxmemory", 0))
    if not most:
        examined.ok("memory", f"{used / _MIB:.0f} MiB used, no maxmemory")
    elif used >= FULL * most:
        examined.warn(
            "memory",
            f"{used / _MIB:.0f} of {most / _MIB:.0f} MiB used: at the end it refuses every request",
            "raise maxmemory, or shorten retention_s",
        )
    else:
        examined.ok("memory", f"{used / _MIB:.0f} of {most / _MIB:.0f} MiB used")


def _rights(examined: Examined, reading: Reading) -> None:
    if reading.probe is not None:
        denied = "permission" in reading.probe or "ACL" in reading.probe
        examined.fail(
            "scripts",
            f"it refuses a script that writes what Penstock writes: {reading.probe}",
            "allow this user its keys and `+@all -@dangerous +info`"
            if denied
            else "see what role, persistence and memory say above",
        )
    else:
        examined.ok("scripts", "a script may read, write and publish")
    if reading.hearing is not None:
        examined.fail(
            "pub/sub",
            f"a message did not come through: {reading.hearing}",
            "allow this user the channels `<namespace>:wake:*`",
        )
    else:
        examined.ok("pub/sub", "a published message is heard")


def _clock(examined: Examined, skew_s: float) -> None:
    where = "ahead of" if skew_s > 0 else "behind"
    said = f"Redis is {abs(skew_s):.1f} s {where} this machine"
    advice = "run a time service (chrony, systemd-timesyncd) on both machines"
    if abs(skew_s) > SKEW_FAIL_S:
        examined.fail("clock", f"{said}: deadlines and leases go wrong", advice)
    elif abs(skew_s) > SKEW_WARN_S:
        examined.warn("clock", said, advice)
    else:
        examined.ok("clock", f"{abs(skew_s) * 1000:.0f} ms {where} this machine")


def _speed(examined: Examined, round_trip_s: float) -> None:
    said = f"{round_trip_s * 1000:.1f} ms for a round trip"
    if round_trip_s > SLOW_S:
        examined.warn("latency", said, "put Redis nearer: each request makes several round trips")
    else:
        examined.ok("latency", said)
