"""compose.yaml, the Dockerfile and .dockerignore as values: read as their own tools read them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose.yaml"
# ${NAME:?message}, the only form that compose.yaml uses.
_REQUIRED = re.compile(r"\$\{([A-Z_]+):\?([^}]+)\}")
_ANY_VARIABLE = re.compile(r"(?<!\$)\$(?:\{|[A-Za-z_])")


def required_variables() -> dict[str, str]:
    """Return what compose.yaml asks of .env: each name, and what is said where it is missing."""
    return dict(_REQUIRED.findall(_without_comments()))


def other_variables() -> list[str]:
    """Return the variables that compose.yaml would leave empty without a word."""
    return _ANY_VARIABLE.findall(_REQUIRED.sub("", _without_comments()))


def read_compose(env: Mapping[str, str]) -> dict[str, Any]:
    """Return compose.yaml with its variables and merges filled in."""
    text = _REQUIRED.sub(lambda found: env[found[1]], COMPOSE.read_text())
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def read_env(path: Path) -> dict[str, str]:
    """Return the variables of a .env file."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def seconds(duration: str) -> float:
    """Return compose's `10s` or `2m` in seconds."""
    units = {"s": 1, "m": 60}
    return float(duration[:-1]) * units[duration[-1]]


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile: `COPY a b` is COPY with the words a, b."""

    name: str
    rest: str

    @property
    def flags(self) -> list[str]:
        """The leading --flags."""
        return [word for word in self.rest.split() if word.startswith("--")]

    @property
    def words(self) -> list[str]:
        """What follows the flags; the exec form (a JSON list) is read as one."""
        if self.rest.startswith("["):
            words: list[str] = json.loads(self.rest)
            return words
        return [word for word in self.rest.split() if not word.startswith("--")]


def read_dockerfile() -> list[Instruction]:
    """Return the Dockerfile's instructions, continued lines joined, comments left out."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    joined = re.sub(r"\\\n\s*", "", text)
    parted = [line.split(None, 1) for line in joined.splitlines() if line.strip()]
    return [Instruction(name, rest.strip()) for name, rest in parted]


def reaches_the_builder(path: str) -> bool:
    """Tell whether .dockerignore lets `path` into the build: the last pattern that fits decides."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    parents = [path, *map(str, Path(path).parents)][:-1]
    let_in = True
    for line in lines:
        pattern = line.removeprefix("!")
        fits = line and not line.startswith("#") and any(_fits(pattern, each) for each in parents)
        if fits:
            let_in = line.startswith("!")
    return let_in


def _fits(pattern: str, path: str) -> bool:
    expression = re.escape(pattern).replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*")
    return re.fullmatch(expression, path) is not None


def _without_comments() -> str:
    lines = COMPOSE.read_text().splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))
