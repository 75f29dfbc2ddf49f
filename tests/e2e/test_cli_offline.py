"""The verbs that talk to no server: keys and configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from broker.config import load_config
from schemas.keys import hash_of, is_key
from tests.e2e.penstock import penstock


def test_a_new_key_is_printed_once_with_the_lines_that_let_it_in(tmp_path: Path) -> None:
    made = penstock("keys", "new", "--tenant", "acme: x", "--name", 'c"i')
    assert made.returncode == 0, made.stderr
    key, _, lines = made.stdout.partition("\n")
    assert is_key(key)
    assert key not in lines
    file = tmp_path / "penstock.yaml"
    file.write_text(lines)
    (kept,) = load_config(file, {}).tenants["acme: x"].keys
    assert (kept.name, kept.hash) == ('c"i', hash_of(key))
    told = json.loads(penstock("keys", "new", "--json").stdout)
    assert hash_of(told["key"]) == told["hash"]


def test_a_key_is_hashed_from_standard_input_and_never_shown() -> None:
    key = "psk_" + "A" * 43
    assert penstock("keys", "hash", stdin=f"{key}\n").stdout == f"{hash_of(key)}\n"
    refused = penstock("keys", "hash", stdin=f"{key}A\n")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "AAAA" not in refused.stderr
    assert penstock("keys", "hash", key).returncode == 2


def test_check_says_ok_with_a_summary() -> None:
    checked = penstock("config", "check", "penstock.defaults.yaml")
    assert checked.returncode == 0
    said = "penstock.defaults.yaml: ok (embedded, listens on 127.0.0.1:8080"
    assert checked.stdout.startswith(said)
    assert penstock("config", "check").stdout.startswith("environment: ok (")
    named = penstock("config", "check", env={"PENSTOCK_CONFIG": "penstock.defaults.yaml"})
    assert named.stdout == checked.stdout


def test_check_tells_every_mistake_a_line_each_and_exits_2(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("server:\n  prot: 1\n  port: 0\n")
    refused = penstock("config", "check", str(file))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.splitlines() == [
        f"{file}:2: `server.prot`: unknown key; did you mean `port`?",
        f"{file}:3: `server.port`: must be greater than or equal to 1.",
    ]
    assert "cannot be read" in penstock("config", "check", "none.yaml").stderr


def test_check_warns_and_still_says_ok(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("")
    checked = penstock("config", "check", str(file), env={"PENSTOCK_DATADIR": "x"})
    assert checked.returncode == 0
    assert checked.stderr == (
        "warning: PENSTOCK_DATADIR: no variable of Penstock, ignored; "
        "did you mean `PENSTOCK_DATA_DIR`?\n"
    )


def test_show_prints_each_value_with_its_source_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "server:\n  amqp_url: amqp://u:hunter2@h/\n  redis_url: redis://:hunter2@h?password=hunter2\n"
        "backends:\n  gpu:\n    urls: [http://h/v1?api_key=hunter2]\n    api_key: ${GPU_KEY}\n"
        "models:\n  m:\n    targets:\n      - {backend: gpu, weight: 2}\n"
    )
    env = {"GPU_KEY": "hunter2", "PENSTOCK_ADMIN_KEY": "hunter2-hunter2-hunter2"}
    backend = ("--backend", "own=http://127.0.0.1:1/v1")
    shown = penstock("config", "show", str(file), "--port", "9", *backend, env=env)
    assert shown.returncode == 0, shown.stderr
    assert "hunter2" not in shown.stdout
    sources = {
        line.split("#")[0].strip(): line.split("# ")[1]
        for line in shown.stdout.splitlines()
        if "# " in line
    }
    assert sources["port: 9"] == "--port"
    assert sources["host: 127.0.0.1"] == "default"
    assert sources["admin_key: '***'"] == "PENSTOCK_ADMIN_KEY"
    assert sources["amqp_url: amqp://u:***@h/"] == f"{file}:2"
    assert sources["api_key: '***'"] == f"{file}:7 (GPU_KEY)"
    assert sources["- backend: gpu"] == f"{file}:11"
    assert sources["urls: ['http://127.0.0.1:1/v1']"] == "--backend"
    again = yaml.safe_load(shown.stdout)
    assert again["models"]["m"]["targets"] == [{"backend": "gpu", "model": None, "weight": 2.0}]


def test_import_converts_a_litellm_file_to_one_that_check_takes(tmp_path: Path) -> None:
    source, made = tmp_path / "config.yaml", tmp_path / "penstock.yaml"
    source.write_text(
        "model_list:\n"
        "  - model_name: gpt\n"
        "    litellm_params: {model: openai/gpt-4o, api_key: sk-plain-text, seed: 6}\n"
    )
    done = penstock("config", "import", "litellm", str(source))
    assert done.returncode == 0, done.stderr
    assert "1 models taken over, 2 things not:" in done.stderr
    assert "sk-plain-text" not in done.stdout + done.stderr
    made.write_text(done.stdout)
    checked = penstock("config", "check", str(made), env={"OPENAI_API_KEY": "k" * 20})
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize(
    ("content", "code", "told"),
    [("", 1, "0 models taken over"), ("a: [", 2, "not valid YAML"), ("- 1\n", 2, "a mapping")],
)
def test_import_of_what_holds_no_model_fails(
    tmp_path: Path, content: str, code: int, told: str
) -> None:
    source = tmp_path / "config.yaml"
    source.write_text(content)
    refused = penstock("config", "import", "litellm", str(source))
    assert refused.returncode == code
    assert told in refused.stderr
    assert penstock("config", "import", "other", str(source)).returncode == 2
