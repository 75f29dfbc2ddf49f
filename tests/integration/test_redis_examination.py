"""`doctor` on real Redis servers: what is well, and each setting that loses requests."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.findings import Verdict
from broker.guarantee import ALWAYS, EVERYSEC, REFUSED, promised
from broker.ports import Served
from broker.redis_store.examination import RedisReport, examine
from tests.fakes.findings import bad, one
from tests.integration.redis_stage import open_parts
from tests.servers.ports import reserve
from tests.servers.probe import redis_command
from tests.servers.redis import RedisServer

pytestmark = pytest.mark.realservers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, to be set up wrongly."""
    running = RedisServer(tmp_path, appendfsync="always")
    running.start()
    yield running
    running.stop()


async def seen(server: RedisServer, *settings: str, url: str | None = None) -> RedisReport:
    """Return what is found after these commands."""
    for command in settings:
        assert "+OK" in redis_command(server.url, command)
    return await examine(url or server.url, "penstock")


async def test_a_good_redis_is_well_in_every_check(server: RedisServer) -> None:
    report = await seen(server)
    assert {each.verdict for each in report.findings} == {Verdict.OK}
    assert one(report.findings, "append-only file").text == "appendonly yes, appendfsync always"
    assert promised(report.settings) is ALWAYS


async def test_the_examination_leaves_no_key(server: RedisServer) -> None:
    await seen(server)
    assert ":0\r\n" in redis_command(server.url, "DBSIZE")


async def test_everysec_is_well_but_promises_less(server: RedisServer) -> None:
    report = await seen(server, "CONFIG SET appendfsync everysec")
    assert bad(report.findings) == {}
    assert promised(report.settings) is EVERYSEC


@pytest.mark.parametrize(
    ("setting", "check", "told"),
    [
        ("appendonly no", "append-only file", "appendonly no"),
        ("appendfsync no", "append-only file", "appendfsync no"),
        ("maxmemory-policy allkeys-lru", "eviction", "allkeys-lru"),
    ],
)
async def test_a_setting_that_loses_requests_is_refused(
    server: RedisServer, setting: str, check: str, told: str
) -> None:
    report = await seen(server, f"CONFIG SET {setting}")
    found = one(report.findings, check)
    assert (found.verdict, told in found.text, bool(found.advice)) == (Verdict.FAILED, True, True)
    assert promised(report.settings) is REFUSED


async def test_a_nearly_full_redis_is_a_warning(server: RedisServer) -> None:
    report = await seen(server, "CONFIG SET maxmemory 1200000")
    assert one(report.findings, "memory").verdict is Verdict.WARNING


async def test_a_full_redis_refuses_the_probe(server: RedisServer) -> None:
    report = await seen(server, "CONFIG SET maxmemory 1")
    assert "used memory > 'maxmemory'" in one(report.findings, "scripts").text
    assert "memory" in one(report.findings, "scripts").advice


async def test_a_replica_is_refused(server: RedisServer) -> None:
    report = await seen(server, f"REPLICAOF 127.0.0.1 {reserve()}")
    assert "takes no writes" in one(report.findings, "role").text


async def test_what_config_does_not_tell_is_taken_for_the_weaker(server: RedisServer) -> None:
    rules = "ACL SETUSER plain on >longpassword ~* &* +@all -config"
    url = server.url.replace("redis://", "redis://plain:longpassword@")
    report = await seen(server, rules, url=url)
    assert one(report.findings, "append-only file").verdict is Verdict.NOTE
    assert bad(report.findings) == {}
    assert promised(report.settings) is EVERYSEC


async def test_a_user_without_rights_is_told_which(server: RedisServer) -> None:
    rules = "ACL SETUSER poor on >longpassword ~other:* resetchannels +@all"
    url = server.url.replace("redis://", "redis://poor:longpassword@")
    report = await seen(server, rules, url=url)
    assert set(bad(report.findings)) == {"scripts", "pub/sub"}
    assert "its keys" in one(report.findings, "scripts").advice


async def test_a_wrong_password_is_said_without_it(server: RedisServer) -> None:
    url = server.url.replace("redis://", "redis://plain:wrongpassword@")
    (found,) = (await seen(server, url=url)).findings
    assert (found.check, found.verdict) == ("reachable", Verdict.FAILED)
    assert "user or password" in found.text
    assert "wrongpassword" not in found.text


async def test_a_redis_that_is_away_is_one_finding() -> None:
    report = await examine(f"redis://127.0.0.1:{reserve()}/0", "penstock")
    assert [each.check for each in report.findings] == ["reachable"]
    assert report.settings == []


async def test_a_url_that_is_none_is_one_finding() -> None:
    report = await examine("http://127.0.0.1", "penstock")
    assert list(bad(report.findings)) == ["reachable"]


@pytest.mark.parametrize(
    ("ahead_s", "verdict"), [(0, Verdict.OK), (2, Verdict.WARNING), (-9, Verdict.FAILED)]
)
async def test_clocks_that_disagree_are_told(
    server: RedisServer, ahead_s: float, verdict: Verdict
) -> None:
    report = await examine(server.url, "penstock", lambda: time.time() - ahead_s)
    assert one(report.findings, "clock").verdict is verdict


async def test_every_server_of_a_cluster_is_examined(redis_cluster: str) -> None:
    report = await examine(redis_cluster, "penstock")
    assert "3 primaries" in one(report.findings, "reachable").text
    assert one(report.findings, "scripts").text.startswith("each: ")
    without_log = [each for each in report.findings if each.check == "append-only file"]
    assert len({each.text for each in without_log if each.verdict is Verdict.FAILED}) == 3


async def test_living_processes_are_seen(server: RedisServer) -> None:
    async with open_parts(server.url, namespace="penstock") as parts:
        await parts.members.beat("worker", [Served("m", 4)])
        report = await examine(server.url, "penstock")
    assert [(each.role, each.models) for each in report.living] == [("worker", frozenset({"m"}))]
