"""`penstock amqp grant` without a RabbitMQ: what it prints, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.penstock import penstock


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "penstock.yaml"
    server = {"amqp_url": "amqp://u:p@host/prod", "redis_url": "redis://host"}
    content = {"server": server, "tenants": {"acme": {"models": ["llama"]}}}
    path.write_text(json.dumps(content))
    return str(path)


def test_it_prints_commands_that_a_shell_can_run(config: str) -> None:
    done = penstock("amqp", "grant", "acme", "--config", config)
    assert done.returncode == 0
    first, user, permissions, topics = done.stdout.splitlines()
    assert first.startswith("# The password is shown this once.")
    assert user.startswith("rabbitmqctl add_user acme ")
    assert permissions.startswith("rabbitmqctl set_permissions -p prod acme '^(reply")
    assert topics == (
        "rabbitmqctl set_topic_permissions -p prod acme penstock.intake "
        r"'^(llama)\.(high|normal|low|batch)$' '^$'"
    )


def test_each_password_is_new(config: str) -> None:
    told = [penstock("amqp", "grant", "acme", "-c", config, "--json").stdout for _ in range(2)]
    one, other = (json.loads(text)["password"] for text in told)
    assert one != other
    assert len(one) >= 32


def test_a_tenant_that_is_not_there_is_said(config: str) -> None:
    done = penstock("amqp", "grant", "acm", "--config", config)
    assert done.returncode == 2
    assert "there is no tenant 'acm' in the configuration; did you mean `acme`?" in done.stderr
    assert not done.stdout


def test_without_rabbitmqctl_the_way_out_is_said(config: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    done = penstock("amqp", "grant", "acme", "-c", config, "--apply", "--rabbitmqctl", absent)
    assert done.returncode == 2
    assert "cannot be run (No such file or directory)" in done.stderr
    assert not done.stdout


def test_what_rabbitmqctl_says_is_passed_on(config: str) -> None:
    done = penstock("amqp", "grant", "acme", "-c", config, "--apply", "--rabbitmqctl", "false")
    assert done.returncode == 2
    assert "false list_users failed: exit code 1" in done.stderr
