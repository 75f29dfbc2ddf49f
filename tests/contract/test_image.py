"""The Dockerfile builds from what is there, installs what was locked, starts what the wheel has."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from broker.config import ENVIRONMENT
from schemas.config import ServerConfig
from tests.fakes.deployment import (
    ROOT,
    Instruction,
    reaches_the_builder,
    read_compose,
    read_dockerfile,
    required_variables,
)

INSTRUCTIONS = {
    *("FROM", "ARG", "ENV", "LABEL", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE"),
    *("HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"),
}
PORT = ServerConfig().port


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return content


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as the wheel carries them."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")
    return folder / "installed"


def penstock(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the wheel's command, far from this repository, whose packages come after the wheel's."""
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); from cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=installed.parent,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=False,
    )


def named(name: str) -> list[Instruction]:
    return [instruction for instruction in read_dockerfile() if instruction.name == name]


def environment() -> dict[str, str]:
    """What ENV sets in the last stage."""
    words = " ".join(instruction.rest for instruction in named("ENV")).split()
    return dict(word.split("=", 1) for word in words)


def test_every_instruction_is_one_that_docker_knows() -> None:
    names = [instruction.name for instruction in read_dockerfile()]
    assert set(names) <= INSTRUCTIONS
    assert names[0] == "FROM"


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    copied = [
        source
        for instruction in named("COPY")
        if not instruction.flags
        for source in instruction.words[:-1]
    ]
    assert "requirements/app.txt" in copied
    assert [each for each in copied if not (ROOT / each).exists()] == []
    assert [each for each in copied if not reaches_the_builder(each)] == []


def test_all_that_the_wheel_is_made_of_is_copied(project: dict[str, Any]) -> None:
    copied = {instruction.words[0] for instruction in named("COPY")}
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert set(wheel) <= copied
    (files,) = [words for each in named("COPY") if "pyproject.toml" in (words := each.words)]
    assert {project["project"]["readme"], *project["project"]["license-files"]} <= set(files)


@pytest.mark.parametrize(
    "path",
    [
        *(".git/HEAD", ".venv/bin/python", ".tools/bin/uv", ".env", "penstock.yaml"),
        *("penstock-data/penstock.db", "tests/conftest.py", "api/__pycache__/app.cpython-313.pyc"),
        *("requirements/dev.txt", "docs/architecture.md", "demo/stage.py"),
    ],
)
def test_nothing_else_reaches_the_builder(path: str) -> None:
    assert not reaches_the_builder(path)


@pytest.mark.parametrize("path", ["api/app.py", "broker/redis_store/scripts/end.lua", "LICENSE"])
def test_sources_reach_the_builder(path: str) -> None:
    assert (ROOT / path).is_file()
    assert reaches_the_builder(path)


def test_every_installation_is_pinned_by_hash_or_takes_nothing_from_an_index() -> None:
    commands = " && ".join(instruction.rest for instruction in named("RUN")).split("&&")
    installs = [command for command in commands if " install " in command and "/pip" in command]
    assert len(installs) == 3
    for command in installs:
        assert "--require-hashes" in command or "--no-deps --no-index" in command, command


def test_the_python_is_pinned_and_one_that_we_support(project: dict[str, Any]) -> None:
    images = {instruction.words[0] for instruction in named("FROM")}
    (image,) = images
    found = re.fullmatch(r"python:(3\.[0-9]+)-slim", image)
    assert found is not None
    assert f"Programming Language :: Python :: {found[1]}" in project["project"]["classifiers"]


def test_it_runs_as_nobody_in_particular() -> None:
    (user,) = named("USER")
    assert re.fullmatch(r"[1-9][0-9]{4}:[1-9][0-9]{4}", user.rest)


def test_signals_reach_penstock_itself(project: dict[str, Any]) -> None:
    """In the exec form there is no shell between Docker and the process."""
    (entry,) = named("ENTRYPOINT")
    (command,) = named("CMD")
    assert entry.rest == '["penstock"]'
    assert entry.words[0] in project["project"]["scripts"]
    assert command.words == ["serve"]


def test_its_labels_say_what_the_project_says(project: dict[str, Any]) -> None:
    (label,) = named("LABEL")
    said = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', label.rest))
    about = project["project"]
    assert said == {
        "title": "penstock",
        "description": about["description"],
        "version": about["version"],
        "licenses": about["license"],
    }


def test_its_environment_is_read_and_its_port_is_the_one_it_listens_on() -> None:
    variables = environment()
    ours = {name for name in variables if name.startswith("PENSTOCK_")}
    assert ours <= {*ENVIRONMENT, "PENSTOCK_LISTEN"}
    assert variables["PENSTOCK_LISTEN"] == f"0.0.0.0:{PORT}"
    assert variables["PYTHONUNBUFFERED"] == "1"
    assert [each.rest for each in named("EXPOSE")] == [str(PORT)]
    (check,) = named("HEALTHCHECK")
    assert f"http://127.0.0.1:{PORT}/live" in check.rest


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_wheel_has_every_command_and_option_that_compose_starts(
    installed: Path, service: str
) -> None:
    variables = dict.fromkeys(required_variables(), "x")
    arguments = read_compose(variables)["services"][service]["command"]
    shown = penstock(installed, *arguments, "--help")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Usage: ")
    assert penstock(installed, *arguments, "--no-such-option", "--help").returncode == 2


def test_the_wheel_has_the_image_s_default_command_and_its_health_check(installed: Path) -> None:
    (command,) = named("CMD")
    (check,) = named("HEALTHCHECK")
    assert penstock(installed, *command.words, "--help").returncode == 0
    assert "cli.healthcheck" in check.rest
    assert (installed / "cli" / "healthcheck.py").is_file()


def test_init_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    done = penstock(installed, "init", str(tmp_path), "--engine", "rabbitmq")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"penstock.yaml", ".env"}
    again = penstock(installed, "init", str(tmp_path))
    assert again.returncode == 2
    assert "would be overwritten" in again.stderr
