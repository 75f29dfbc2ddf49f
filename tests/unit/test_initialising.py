"""`penstock init`: what it writes is valid, its secrets are new and for one reader alone."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from broker.config import load_config
from cli.initialising import EngineName, run
from schemas.errors import ConfigError
from schemas.keys import hash_of
from tests.fakes.deployment import read_env

ENGINES: list[EngineName] = ["embedded", "rabbitmq"]
BACKEND = "http://127.0.0.1:11434/v1"
KEY = re.compile(r"psk_[A-Za-z0-9_-]{43}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("backend", [None, BACKEND])
def test_the_configuration_is_valid_and_holds_the_client_key_s_hash(
    tmp_path: Path, engine: EngineName, backend: str | None
) -> None:
    run(tmp_path, engine, backend, force=False)
    secrets = read_env(tmp_path / ".env")
    config = load_config(tmp_path / "penstock.yaml", {})
    (key,) = config.tenants["default"].keys
    assert key.hash == hash_of(secrets["PENSTOCK_API_KEY"])
    assert secrets["PENSTOCK_API_KEY"] not in (tmp_path / "penstock.yaml").read_text()
    assert [each.urls for each in config.backends.values()] == ([[backend]] if backend else [])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_commented_examples_are_valid_too(tmp_path: Path, engine: EngineName) -> None:
    run(tmp_path, engine, None, force=False)
    path = tmp_path / "penstock.yaml"
    example = re.sub(r"^#(?=backends|  )(?!   [0-9])", "", path.read_text(), flags=re.MULTILINE)
    path.write_text(example.replace("sha256:...", hash_of("another")))
    config = load_config(path, {"BACKEND_KEY": "secret"})
    assert set(config.tenants) == {"default", "acme"}
    assert config.backends["backend-1"].api_key == "secret"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_secret_is_new_each_time_and_nobody_else_may_read_them(
    tmp_path: Path, engine: EngineName
) -> None:
    run(tmp_path, engine, None, force=False)
    first = read_env(tmp_path / ".env")
    run(tmp_path, engine, None, force=True)
    second = read_env(tmp_path / ".env")
    assert {name for name in first if first[name] == second[name]} <= {"RABBITMQ_USER"}
    assert KEY.fullmatch(first["PENSTOCK_ADMIN_KEY"])
    assert KEY.fullmatch(first["PENSTOCK_API_KEY"])
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_the_passwords_need_no_quoting_in_a_url_or_a_shell(tmp_path: Path) -> None:
    run(tmp_path, "rabbitmq", None, force=False)
    secrets = read_env(tmp_path / ".env")
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{8,}", value) for value in secrets.values())


def test_a_container_s_user_can_read_the_configuration_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        run(tmp_path, "rabbitmq", None, force=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "penstock.yaml").stat().st_mode) == 0o644


@pytest.mark.parametrize("there", ["penstock.yaml", ".env"])
def test_nothing_is_overwritten_without_force(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(ConfigError, match="would be overwritten"):
        run(tmp_path, "embedded", None, force=False)
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_force_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("mine")
    (tmp_path / ".env").symlink_to(elsewhere)
    run(tmp_path, "embedded", None, force=True)
    assert elsewhere.read_text() == "mine"
    assert not (tmp_path / ".env").is_symlink()


def test_it_says_what_it_wrote_the_key_and_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / "my penstock"
    run(directory, "embedded", None, force=False)
    told = capsys.readouterr().out
    assert f"wrote {directory}/penstock.yaml" in told
    assert f"wrote {directory}/.env" in told
    assert f"client key: {read_env(directory / '.env')['PENSTOCK_API_KEY']}\n" in told
    assert f"next: cd '{directory}' && set -a && . ./.env && set +a && penstock serve" in told


def test_it_warns_of_a_backend_that_a_container_cannot_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "rabbitmq", BACKEND, force=False)
    told = capsys.readouterr().out
    assert "is the container itself" in told
    assert "both files belong beside the compose.yaml" in told
    assert "docker compose up --build --detach --wait" in told


def test_a_backend_must_be_a_url(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not an http"):
        run(tmp_path, "embedded", "localhost:11434", force=False)
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        run(tmp_path / "file" / "below", "embedded", None, force=False)
