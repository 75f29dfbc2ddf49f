"""The pure parts of `doctor`: the guarantee's row, masking, the configuration, living processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker import config_examination, living
from broker.amqp.examination import _version, wanted_consumer_timeout_ms
from broker.amqp.management import judge
from broker.findings import Examined, Finding, Verdict
from broker.guarantee import (
    ALWAYS,
    APPENDFSYNC_UNKNOWN,
    EMBEDDED,
    EVERYSEC,
    REFUSED,
    Guarantee,
    RedisSettings,
    promised,
)
from broker.living import LivingProcess
from broker.masking import masked, secrets_of
from cli.doctor import served_models
from schemas.config import Config
from tests.fakes.findings import bad, one

GOOD = RedisSettings(aof=True, appendfsync="always", evicts=False)


@pytest.mark.parametrize(
    ("settings", "row"),
    [
        ([], EMBEDDED),
        ([GOOD], ALWAYS),
        ([GOOD, GOOD, GOOD], ALWAYS),
        ([RedisSettings(True, "everysec", False)], EVERYSEC),
        ([RedisSettings(True, APPENDFSYNC_UNKNOWN, False)], EVERYSEC),
        ([GOOD, RedisSettings(True, "everysec", False)], EVERYSEC),
        ([RedisSettings(True, "no", False)], REFUSED),
        ([RedisSettings(False, "always", False)], REFUSED),
        ([GOOD, RedisSettings(True, "always", True)], REFUSED),
    ],
)
def test_the_weakest_setting_decides_what_is_promised(
    settings: list[RedisSettings], row: Guarantee
) -> None:
    assert promised(settings) is row


def test_each_row_is_the_protocols() -> None:
    protocol = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    for row in (EMBEDDED, ALWAYS, EVERYSEC):
        assert row.settings in protocol
        assert row.promised in protocol


def a_config(**sections: Any) -> Config:
    return Config.model_validate(sections)


def test_no_secret_gets_through() -> None:
    config = a_config(
        server={
            "admin_key": "an-admin-key-of-ours",
            "amqp_url": "amqp://user:pa%40ssword@host/",
            "redis_url": "redis://:redis-password@host/0",
        },
        backends={"b": {"urls": ["http://u:url-password@host/v1"], "api_key": "sk-backend"}},
    )
    text = "an-admin-key-of-ours pa@ssword sk-backend redis-password url-password amqp://u:p@h/"
    assert masked(text, secrets_of(config)) == "*** *** *** *** *** amqp://u:***@h/"


def test_a_short_password_is_hidden_in_urls_only() -> None:
    config = a_config(server={"amqp_url": "amqp://guest:guest@h/", "redis_url": "redis://h"})
    assert masked("user guest at amqp://guest:guest@h/", secrets_of(config)) == (
        "user guest at amqp://guest:***@h/"
    )


def looked_at(config: Config, path: Path | None = None, models: int = 1) -> list[Finding]:
    return config_examination.examine(config, path, models)


@pytest.mark.parametrize(("mode", "warns"), [(0o600, False), (0o640, True), (0o644, True)])
def test_a_readable_file_with_secrets_is_a_warning(tmp_path: Path, mode: int, warns: bool) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("server: {admin_key: an-admin-key-of-ours}")
    path.chmod(mode)
    found = bad(looked_at(a_config(server={"admin_key": "an-admin-key-of-ours"}), path))
    assert ("file" in found) is warns


def test_secrets_from_the_environment_leave_the_file_harmless(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("server: {admin_key: '${KEY}'}")
    path.chmod(0o644)
    config = a_config(server={"admin_key": "an-admin-key-of-ours"})
    assert "no secrets inside" in one(looked_at(config, path), "file").text


@pytest.mark.parametrize(
    ("server", "fails"),
    [
        ({}, False),
        ({"host": "::1"}, False),
        ({"host": "localhost"}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "penstock.example"}, True),
        ({"host": "0.0.0.0", "admin_key": "an-admin-key-of-ours"}, False),
    ],
)
def test_strangers_need_keys(server: dict[str, str], fails: bool) -> None:
    assert ("access" in bad(looked_at(a_config(server=server)))) is fails


@pytest.mark.parametrize(("models", "warns"), [(250, False), (251, True)])
def test_more_than_2000_queues_are_a_warning(models: int, warns: bool) -> None:
    config = a_config(server={"amqp_url": "amqp://h", "redis_url": "redis://h"})
    assert ("queues" in bad(looked_at(config, models=models))) is warns


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("3.9.1", Verdict.FAILED),
        ("3.10.8", Verdict.OK),
        ("4.0.1", Verdict.WARNING),
        ("4.2.0", Verdict.WARNING),
        ("4.3.7", Verdict.OK),
        ("unknown", Verdict.NOTE),
    ],
)
def test_rabbitmqs_version_is_judged(version: str, verdict: Verdict) -> None:
    examined = Examined("RabbitMQ")
    _version(examined, version)
    assert [each.verdict for each in examined.findings] == [verdict]


@pytest.mark.parametrize(
    ("call_s", "wanted"), [(0, 1_800_000), (1500, 1_800_000), (3600, 4_320_000)]
)
def test_a_delivery_outlives_the_longest_call(call_s: float, wanted: int) -> None:
    assert wanted_consumer_timeout_ms(call_s) == wanted


def test_management_tells_nodes_alarms_majorities_and_clock() -> None:
    nodes = [
        {"name": "a", "running": True, "mem_alarm": True},
        {"name": "b", "running": False},
    ]
    queues: list[dict[str, Any]] = [
        {"name": "p.q.m", "members": ["a", "b", "c"], "online": ["a"]},
        {"name": "other"},
    ]
    found = bad(judge(nodes, queues, "Thu, 26 Nov 2026 11:00:00 GMT", 0.0, "p"))
    assert set(found) == {"nodes", "alarms", "majorities", "clock"}
    assert "p.q.m" in found["majorities"]


def test_management_without_trouble_is_well() -> None:
    nodes = [{"name": "a", "running": True}]
    findings = judge(nodes, [], None, 0.0, "p")
    assert bad(findings) == {}
    assert one(findings, "clock").verdict is Verdict.NOTE


def test_a_model_without_a_live_worker_is_named() -> None:
    api, worker = LivingProcess("api", frozenset()), LivingProcess("worker", frozenset({"a"}))
    assert bad(living.judge([api, worker], ["a"])) == {}
    assert "no live worker serves b" in bad(living.judge([api, worker], ["a", "b"]))["processes"]
    assert one(living.judge([], ["a"]), "processes").verdict is Verdict.NOTE


def test_a_pattern_stands_for_what_the_backends_list() -> None:
    targets = {"targets": [{"backend": "b"}]}
    config = a_config(
        backends={"b": {"urls": ["http://h"]}}, models={"llama-*": targets, "other": targets}
    )
    listed = frozenset({"llama-8b", "qwen"})
    assert served_models(config, listed) == ["llama-8b", "other"]
    assert served_models(a_config(), listed) == ["llama-8b", "qwen"]


def test_a_file_that_lies_there_unread_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert one(looked_at(Config()), "file").verdict is Verdict.NOTE
    (tmp_path / "penstock.yaml").write_text("")
    assert one(looked_at(Config()), "file").verdict is Verdict.WARNING
