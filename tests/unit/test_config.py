"""The configuration: flags over environment over file, and mistakes that name their line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from broker.config import load_config
from schemas.codec import MAX_HEADER_BYTES
from schemas.config import Config
from schemas.errors import ConfigError

GOOD = """\
server: {port: 9000, data_dir: ./file}
backends:
  gpu:
    urls: [http://127.0.0.1:8000/v1/]
    api_key: ${GPU_KEY}
    concurrency: 4
models:
  llama:
    targets: [{backend: gpu, model: meta/llama}]
"""


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.yaml"
    path.write_text(GOOD)
    return path


def test_defaults_need_no_file() -> None:
    config = load_config(None, {})
    assert (config.server.host, config.server.port, config.models) == ("127.0.0.1", 8080, "auto")
    assert config.server.embedded


def test_flags_win_over_environment_over_file(config_file: Path) -> None:
    environment = {
        "GPU_KEY": "k",
        "PENSTOCK_LISTEN": "127.0.0.1:9001",
        "PENSTOCK_DATA_DIR": "/env",
        "PENSTOCK_PORT": "tcp://10.0.0.1:80",
    }
    server = load_config(config_file, environment, {"port": 9002}).server
    assert (server.port, server.data_dir) == (9002, "/env")


def test_variables_are_filled_in_and_urls_trimmed(config_file: Path) -> None:
    backend = load_config(config_file, {"GPU_KEY": "secret"}).backends["gpu"]
    assert backend.api_key == "secret"
    assert backend.urls == ["http://127.0.0.1:8000/v1"]
    assert "secret" not in repr(backend)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD, "`backends.gpu.api_key`: needs the environment variable GPU_KEY"),
        ("server:\n  prot: 1\n", ":2: `server.prot`"),
        ("server:\n  port: 0\n", ":2: `server.port`"),
        ("server: [", "not valid YAML"),
        ("a: 1\na: 2\n", ":1: `a`: stands here twice, again in line 2"),
        ("- 1\n", "expected a mapping"),
        ("a: !!timestamp x\n", "write it in quotes"),
        ("a: {? [b] : 1}\n", "a key that is no text"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 50 levels deep"),
        ("a: " + "[" * 900, "nested more than 50 levels deep"),
        # Newer parsers refuse this themselves.
        ("a: " + "[" * 400_000, "nest"),
        ("server: 7\n", "`server"),
        ("server: {amqp_url: amqp://h}\n", "set amqp_url and redis_url together"),
        ("server: {tls_cert: a.pem}\n", "set tls_cert and tls_key together"),
        ("server: {header_timeout_s: 0}\n", "`server.header_timeout_s`"),
        ("server: {max_connections: 0}\n", "`server.max_connections`"),
        ("server: {max_body_bytes: 15728641}\n", "`server.max_body_bytes`"),
        ("x: &a [1]\ny: *a\n", "aliases"),
        ("backends: {b: {urls: [ftp://h]}}\n", "'ftp://h' is not an http"),
        ("backends: {b: {urls: []}}\n", "`backends.b.urls`"),
        ("models: {m: {targets: [{backend: nowhere}]}}\n", "there is no backend 'nowhere'"),
        (
            "{backends: {b: {urls: [http://h]}}, models: {a*b*: {targets: [{backend: b}]}}}\n",
            "'a*b*' has more than one `*`",
        ),
        (
            "backends: {b: {urls: [http://h]}}\nmodels: {m: {targets: [{backend: b, model: x*}]}}",
            "'m' has no `*` that could be filled into 'x*'",
        ),
        ("aliases: {a-*: m}\n", "an alias has no `*`"),
        (
            "models: !!python/object/apply:os.system [x]\n",
            "python/object/apply:os.system, which is not",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_config(path, {})
    assert str(path) in str(refused.value)
    assert told in str(refused.value)


def test_the_largest_body_fits_a_message_of_rabbitmq_with_its_header(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("server: {max_body_bytes: 15728640}\n")
    largest = load_config(path, {}).server.max_body_bytes
    assert largest + MAX_HEADER_BYTES + 1024 <= 16 * 1024 * 1024


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.yaml", {})


def test_the_shipped_file_says_the_defaults() -> None:
    shipped = Path(__file__).parents[2] / "penstock.defaults.yaml"
    assert load_config(shipped, {}) == load_config(None, {})


def test_shares_leave_half_of_all_starts_to_whoever_comes_first() -> None:
    shares = {"normal": 0.3, "low": 0.15, "batch": 0.05}
    each = {name: {"share": share, "target_wait_s": 1} for name, share in shares.items()}
    assert Config.model_validate({"scheduling": each}).scheduling.low.share == 0.15
    each["batch"]["share"] = 0.06
    with pytest.raises(ValidationError, match=r"0\.51 of all starts together; at most 0\.5"):
        Config.model_validate({"scheduling": each})


@pytest.mark.parametrize("bounds", [{"min": 9, "max": 3}, {"min": 0, "max": 3}, {"min": 1}])
def test_bounds_of_adaptive_concurrency_are_in_order(bounds: dict[str, int]) -> None:
    backend = {"urls": ["http://b/v1"], "concurrency": bounds}
    with pytest.raises(ValidationError):
        Config.model_validate({"backends": {"b": backend}})
