"""What `penstock config check` warns of: allowed, and probably not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.config import read_config
from broker.config_warnings import warnings

KEY = "k" * 16


def warned(path: Path, content: str, mode: int = 0o600, **environment: str) -> str:
    path.write_text(content)
    path.chmod(mode)
    found = warnings(read_config(path, environment, {}, {}), path, environment)
    return "\n".join(found).replace(str(path), "FILE")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "penstock.yaml"


def backend(key: str, host: str = "gpu") -> str:
    return f"backends: {{b: {{urls: [http://{host}/v1], api_key: '{key}'}}}}\n"


def engines(user: str, host: str) -> str:
    return f"server: {{amqp_url: 'amqp://{user}@{host}/', redis_url: 'redis://127.0.0.1'}}\n"


def test_a_key_in_plain_text_is_told_when_everyone_can_read_the_file(path: Path) -> None:
    assert "FILE:1: `backends.b.api_key`: stands in plain text" in warned(path, backend(KEY), 0o644)
    assert warned(path, backend(KEY), 0o640) == ""
    assert warned(path, backend("${K}"), 0o644, K=KEY) == ""


def test_the_password_of_a_url_counts_as_a_key(path: Path) -> None:
    told = warned(path, engines(f"u:{KEY}", "rabbit"), 0o644)
    assert "`server.amqp_url`: stands in plain text" in told
    assert KEY not in told


@pytest.mark.parametrize(("host", "is_told"), [("rabbit", True), ("127.0.0.1", False)])
def test_guest_is_told_unless_rabbitmq_is_on_this_machine(
    path: Path, host: str, is_told: bool
) -> None:
    assert ("the user guest" in warned(path, engines("guest:guest", host))) is is_told


@pytest.mark.parametrize(("host", "is_told"), [("gpu", True), ("localhost", False)])
def test_a_short_secret_is_told_unless_it_stays_on_this_machine(
    path: Path, host: str, is_told: bool
) -> None:
    told = warned(path, backend("short", host))
    assert ("`backends.b.api_key`: a secret shorter than 16 bytes" in told) is is_told


def test_an_unknown_variable_is_told_with_what_was_meant(path: Path) -> None:
    told = warned(path, "", PENSTOCK_AMPQ_URL="x", penstock_data_dir="y", PENSTOCK_X="z")
    assert "PENSTOCK_AMPQ_URL: no variable of Penstock, ignored; did you mean" in told
    assert "`PENSTOCK_AMQP_URL`?" in told
    assert "penstock_data_dir: no variable of Penstock, ignored; did you mean" in told
    assert "PENSTOCK_X: no variable of Penstock, ignored." in told


def test_what_kubernetes_injects_and_what_the_file_uses_is_not_told(path: Path) -> None:
    environment = {
        "PENSTOCK_PORT": "tcp://10.0.0.1:80",
        "PENSTOCK_PORT_8080_TCP": "tcp://10.0.0.1:80",
        "PENSTOCK_SERVICE_HOST": "10.0.0.1",
        "PENSTOCK_API_SERVICE_PORT_HTTP": "80",
        "PENSTOCK_API_KEY": KEY,
        "PENSTOCK_GPU": KEY,
    }
    assert warned(path, backend("${PENSTOCK_GPU}"), 0o600, **environment) == ""


def test_a_configuration_without_doubts_is_told_nothing(path: Path) -> None:
    assert warned(path, engines(f"penstock:{KEY}", "rabbit") + backend(KEY)) == ""


def test_a_file_that_lies_there_unread_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    defaults = read_config(None, {}, {}, {})
    assert warnings(defaults, None, {}) == []
    path.write_text("")
    assert "penstock.yaml in this directory is not read" in "".join(warnings(defaults, None, {}))
