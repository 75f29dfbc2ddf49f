"""A wrong penstock.yaml: every mistake in one go, with its line and what was probably meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from broker.config import load_config
from schemas.errors import ConfigError

Refused = Callable[[bytes | str], str]
BACKEND = "backends: {gpu: {urls: [http://h/v1]}}\n"
LAUGHS = "a: &a [x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """Write a file that must be refused, and return the sentences without their paths."""
    path = tmp_path / "penstock.yaml"

    def refuse(content: bytes | str) -> str:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(ConfigError) as told:
            load_config(path, {"EMPTY": "", "SET": "${SET}"})
        return str(told.value).replace(str(path), "FILE")

    return refuse


@pytest.mark.parametrize("content", [b"", b"\n# nothing\n", b"\xef\xbb\xbf", b"---\n", b"null\n"])
def test_an_empty_file_says_the_defaults(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_bytes(content)
    assert load_config(path, {}) == load_config(None, {})


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfserver: {port: 9}\n", b"server:\r\n  port: 9\r\n"]
)
def test_a_byte_order_mark_and_carriage_returns_are_harmless(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_bytes(content)
    assert load_config(path, {}).server.port == 9


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("server:\n\tport: 1\n", "FILE:2:1: not valid YAML"),
        ("a: 1\nb:\na: 2\n", "FILE:1: `a`: stands here twice, again in line 3."),
        (LAUGHS, "FILE: YAML aliases (*a) are not supported."),
        ("server: !!python/object/new:os.system [x]\n", "which is not supported"),
        ("server: !!set {a, b}\n", "which is not supported"),
        ("server: {port: !!int x}\n", "FILE:1: `server.port`: YAML reads `x` as something"),
        (b"#" * 10_000_000, "FILE: larger than 1048576 bytes."),
        ("server: {}\n".encode("utf-16"), "FILE: not UTF-8."),
        ("[" * 900, "FILE: nested more than 50 levels deep."),
        ("[" * 100_000, "nest"),
        ("- " * 100_000, "FILE: nested more than 50 levels deep."),
        ("? [a]\n: 1\n", "FILE: `?`: line 1 has a key that is no text."),
        ("a: 1\n---\nb: 2\n", "not valid YAML"),
        ("server: {port: " + "9" * 5_000 + "}\n", "`server.port`: YAML reads `9999"),
        (b"a: \x00\n", "not valid YAML"),
    ],
    ids=lambda value: str(value[:24]),
)
def test_a_file_that_no_reader_should_trust_is_refused(
    refused: Refused, content: bytes | str, told: str
) -> None:
    assert told in refused(content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("server:\n  prot: 1\n", "FILE:2: `server.prot`: unknown key; did you mean `port`?"),
        ("severs: {}\n", "FILE:1: `severs`: unknown key; did you mean `server`?"),
        ("xyz: {}\n", "unknown key; known: aliases, backends"),
        (BACKEND.replace("urls", "concurency: 3, urls"), "did you mean `concurrency`?"),
        (
            BACKEND + "models:\n  m:\n    targets: [{backend: gpu, wieght: 3}]\n",
            "FILE:4: `models.m.targets.0.wieght`: unknown key; did you mean `weight`?",
        ),
        (
            BACKEND + "models:\n  m:\n    targets:\n      - {backend: gup}\n",
            "FILE:5: `models.m.targets.0.backend`: there is no backend 'gup'; did you mean `gpu`?",
        ),
        ("server: {log_level: inf}\n", "`server.log_level`: must be `debug`, `info`, `warning` or"),
        ("server: {log_level: inf}\n", "did you mean `info`?"),
        ("models: aut\n", "FILE:1: `models`: must be `auto`; did you mean `auto`?"),
        ("server: {port: x}\n", "`server.port`: must be a valid integer"),
        ("server: {host: 3}\n", "`server.host`: must be text: write it in quotes."),
        ("server: {port: true}\n", "`server.port`: must be a number."),
        ("server: {port: 1e3}\n", "`server.port`"),
        ("server: {port: 0o10}\n", "`server.port`"),
        (
            "server: {port: 010}\n",
            "you may not mean: write it in quotes, or as a plain number.",
        ),
        ("server: {port: 1:20}\n", "YAML reads `1:20` as something"),
        ("models: {yes: {targets: []}}\n", "`models.yes`: YAML does not read this key"),
        ("models: {3.10: {targets: []}}\n", "`models.3.10`: YAML does not read this key"),
        ("models: {~: {targets: []}}\n", "does not read this key"),
        (
            "server: {data_dir: no}\n",
            "YAML reads `no` as something you may not mean: write it in quotes, or as true",
        ),
        ("server: {data_dir: 2024-01-01}\n", "YAML reads this as a timestamp: write it in quotes."),
        ("tenants: {t: {}}\n", "FILE:1: `tenants.t.models`: is missing."),
        (BACKEND + "models: {m: {targets: [{backend: gpu}]}}\naliases: {a: n}\n", "is no model"),
        ("server: 3\n", "FILE:1: `server`: must be a valid dictionary"),
    ],
    ids=lambda value: str(value)[-40:],
)
def test_a_wrong_key_or_value_is_told_with_what_was_meant(
    refused: Refused, content: str, told: str
) -> None:
    assert told in refused(content)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("{min: 9, max: 3}", "`: min must not be above max."),
        ("{mn: 1, max: 3}", ".mn`: unknown key; did you mean `min`?"),
        ("{min: {}, max: 3}", ".min`: must be a valid integer."),
        ("0", "`: must be greater than or equal to 1."),
        ("[]", "`: must be a valid integer."),
    ],
)
def test_a_wrong_concurrency_is_told_in_the_form_it_was_written_in(
    refused: Refused, value: str, told: str
) -> None:
    content = f"backends: {{gpu: {{urls: [http://h/v1], concurrency: {value}}}}}\n"
    assert refused(content) == f"FILE:1: `backends.gpu.concurrency{told}"


@pytest.mark.parametrize("weight", ["-1", ".nan", ".inf", "0", "1.0e+9"])
def test_a_target_needs_a_usable_weight(refused: Refused, weight: str) -> None:
    target = f"{{backend: gpu, weight: {weight}}}"
    assert "`models.m.targets" in refused(BACKEND + f"models: {{m: {{targets: [{target}]}}}}\n")


def test_two_models_of_one_name_are_refused(refused: Refused) -> None:
    assert "`models.m`: stands here twice" in refused("models: {m: {}, m: {}}\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${UNSET}", "needs the environment variable UNSET: set it."),
        ("${EMPTY}", "needs the environment variable EMPTY: set it."),
        ("${SET:-}", "only ${NAME} is filled in."),
        ("${SET", "only ${NAME} is filled in."),
        ("${}", "only ${NAME} is filled in."),
    ],
)
def test_a_variable_that_cannot_be_filled_in_is_refused(
    refused: Refused, text: str, told: str
) -> None:
    content = f'backends:\n  gpu: {{urls: [http://h], api_key: "{text}"}}\n'
    assert f"FILE:2: `backends.gpu.api_key`: {told}" in refused(content) or told in refused(content)


def test_a_variables_value_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text('backends: {gpu: {urls: [http://h], api_key: "$$${SET}", concurrency: "${N}"}}')
    backend = load_config(path, {"SET": "${SET}", "N": "3"}).backends["gpu"]
    assert (backend.api_key, backend.concurrency) == ("$$${SET}", 3)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("backends.gpu", "concurrency", "0"),
        ("backends.gpu", "concurrency", "-1"),
        ("backends.gpu", "concurrency", "1000000000"),
        ("backends.gpu", "timeout_s", "0"),
        ("backends.gpu", "timeout_s", ".nan"),
        ("server", "port", "0"),
        ("server", "port", "65536"),
        ("server", "max_queued", "0"),
        ("server", "admin_key", "changeme"),
        ("models.m.retry", "max_attempts", "-1"),
        ("tenants.t", "max_queued", "0"),
    ],
)
def test_a_number_out_of_range_is_refused(
    refused: Refused, section: str, key: str, value: str
) -> None:
    content = ""
    for depth, name in enumerate([*section.split("."), key]):
        content += f"{'  ' * depth}{name}:" + (f" {value}\n" if name == key else "\n")
    assert f"`{section}.{key}`: " in refused(content)


def test_every_mistake_is_told_at_once_in_the_order_of_the_file(refused: Refused) -> None:
    told = refused(
        "server:\n  prot: 1\n  port: 0\nbackends:\n  gpu: {urls: [http://h], api_key: '${UNSET}'}\n"
        "models:\n  m:\n    targets: [{backend: nowhere}]\naliases: {a: n}\n"
    )
    assert [line.split("`")[1] for line in told.splitlines()] == [
        "server.prot",
        "server.port",
        "backends.gpu.api_key",
        "models.m.targets.0.backend",
        "aliases.a",
    ]


def test_a_mistake_in_a_variable_or_flag_names_it_and_not_the_file(tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text("server: {port: 9000, namespace: good}\n")
    environment = {"PENSTOCK_LISTEN": "127.0.0.1:70000", "PENSTOCK_NAMESPACE": "Not Good"}
    with pytest.raises(ConfigError) as refused:
        load_config(path, environment, {"data_dir": 3})
    assert {line.split(": ")[0] for line in str(refused.value).splitlines()} == {
        "PENSTOCK_LISTEN",
        "PENSTOCK_NAMESPACE",
        "--data-dir",
    }


def test_no_mistake_shows_a_secret(refused: Refused) -> None:
    told = refused("server: {admin_key: hunter2}\nbackends: {b: {urls: [], api_key: [hunter2]}}\n")
    assert "server.admin_key" in told
    assert "hunter2" not in told
