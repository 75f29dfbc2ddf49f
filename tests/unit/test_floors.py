"""The house's rules that a machine can check: who imports whom, and how long a thing may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ("api", "broker", "cli", "clients", "schemas", "workers", "tests", "demo", "benchmarks")
SDK = Path("clients/python/src")
FILES = sorted(
    path.relative_to(REPOSITORY)
    for folder in FOLDERS
    for path in (REPOSITORY / folder).rglob("*.py")
)
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}


@pytest.fixture(scope="module")
def sources() -> dict[Path, str]:
    return {path: (REPOSITORY / path).read_text(encoding="utf-8") for path in FILES}


def test_every_import_keeps_to_its_floor() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [str(lint), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_two_modules_import_each_other() -> None:
    edges = dict(_imports_at_load())
    assert _cycle(edges) is None


def test_a_cycle_would_be_found() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_a_file_is_one_idea(sources: dict[Path, str]) -> None:
    long = [path for path, text in sources.items() if text.count("\n") > MAX_FILE_LINES]
    vague = [path for path in sources if VAGUE_NAMES & {path.stem, path.parent.name}]
    assert (long, vague) == ([], [])


def test_a_file_says_what_it_is(sources: dict[Path, str]) -> None:
    silent = [path for path, text in sources.items() if not ast.get_docstring(ast.parse(text))]
    assert silent == []


def test_a_function_is_one_step(sources: dict[Path, str]) -> None:
    long = [
        f"{path}: {name} has {lines} lines"
        for path, text in sources.items()
        for name, lines in _function_lengths(text)
        if lines > MAX_FUNCTION_LINES
    ]
    assert long == []


def _function_lengths(text: str) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def _imports_at_load() -> Iterator[tuple[str, set[str]]]:
    """Each module with the modules it imports while it is being loaded itself."""
    modules = {_module(path) for path in FILES}
    for path in FILES:
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        wanted: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= inner & modules or {node.module}
        yield _module(path), wanted & modules


def _module(path: Path) -> str:
    path = path.relative_to(SDK) if path.is_relative_to(SDK) else path
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _cycle(edges: dict[str, set[str]]) -> list[str] | None:
    """One cycle, as the names along it, or None."""
    done: set[str] = set()

    def walk(name: str, trail: list[str]) -> list[str] | None:
        if name in trail:
            return [*trail[trail.index(name) :], name]
        if name in done:
            return None
        for target in sorted(edges.get(name, ())):
            if found := walk(target, [*trail, name]):
                return found
        done.add(name)
        return None

    return next((found for name in sorted(edges) if (found := walk(name, []))), None)
