"""The pages made from the code are up to date and leave nothing out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from typer.main import get_command

from cli.main import app
from reference.commands import helps
from reference.configuration import sections_of
from reference.pages import DOCS, PAGES, stale
from schemas.config import Config, ServerConfig
from schemas.errors import BATCH_ENDINGS, BATCH_ERRORS, DOOR_ERRORS, TERMINAL_CODES

ROOT = Path(__file__).parents[2]
DEFAULTS = ROOT / "penstock.defaults.yaml"


def test_every_page_made_from_the_code_is_up_to_date() -> None:
    assert stale() == [], "run `python -m reference`"


def test_every_key_of_the_configuration_has_a_description() -> None:
    without = [
        f"{path}.{name}"
        for path, model in sections_of(Config)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert without == []


def test_every_error_has_a_row() -> None:
    page = PAGES["reference/errors.md"]()
    codes = (*DOOR_ERRORS, *TERMINAL_CODES, *BATCH_ERRORS, *BATCH_ENDINGS)
    missing = [code for code in codes if f"| `{code}` |" not in page]
    assert missing == []


def test_the_page_of_the_command_line_is_what_a_terminal_shows() -> None:
    shown = dict(helps(get_command(app), "penstock"))
    for verb in ("penstock", "penstock submit"):
        printed = subprocess.run(
            [sys.executable, "-m", "cli.main", *verb.split()[1:], "--help"],
            cwd=ROOT,
            env={"COLUMNS": "80", "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert printed.strip().removeprefix("Usage: python -m cli.main") == shown[
            verb
        ].strip().removeprefix("Usage: penstock")


def test_the_default_file_names_every_key() -> None:
    text = DEFAULTS.read_text("utf-8")
    missing = [
        f"{path}.{name}"
        for path, model in sections_of(Config)
        for name in model.model_fields
        if not re.search(rf"(?:^|[ #{{]){name}:", text, re.MULTILINE)
    ]
    assert missing == []


def test_the_default_file_says_the_true_defaults() -> None:
    said: dict[str, Any] = yaml.safe_load(DEFAULTS.read_text("utf-8"))
    assert Config.model_validate(said) == Config()
    server = ServerConfig.model_fields
    unsaid = {name for name in server if server[name].default is not None} - said["server"].keys()
    assert unsaid == set()


def test_the_examples_in_the_default_file_are_a_configuration() -> None:
    text = DEFAULTS.read_text("utf-8").replace("sha256:...", "sha256:" + "0" * 64)
    opened = re.sub(r"^(\w+): (?:\{\}|\[\]|auto)$", r"\1:", text, flags=re.MULTILINE)
    config = Config.model_validate(yaml.safe_load(re.sub("^#  ", "  ", opened, flags=re.MULTILINE)))
    assert config.backends
    assert config.models != "auto"
    assert config.aliases
    assert config.endpoints
    assert config.tenants


def test_no_page_of_the_reference_is_written_by_hand() -> None:
    there = {str(path.relative_to(DOCS)) for path in (DOCS / "reference").glob("*.md")}
    assert there <= PAGES.keys()
