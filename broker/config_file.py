"""penstock.yaml as data: its variables filled in, the line of each key, the place of each mistake.

YAML 1.1 reads `yes` as true, `010` as 8 and `1:20` as 80. Such values are refused, as are
aliases, which can grow without bound, and nesting that would overrun the parser's stack.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import ConfigError

At = tuple[str | int, ...]

_MAX_BYTES = 1024 * 1024
_MAX_DEPTH = 50
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TAG = "tag:yaml.org,2002:"
# What each type may look like; any other spelling is one that YAML reads in a surprising way.
_PLAIN = {
    "int": re.compile(r"-?(0|[1-9][0-9]{0,17})"),
    "float": re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|nan)"),
    "bool": re.compile(r"true|false"),
    "null": re.compile(r"~|null|"),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """Something wrong with the value at a path of keys; `what` is a sentence without its end."""

    at: At
    what: str


@dataclass(slots=True)
class ConfigFile:
    """What a file says. `variables` names those that each filled-in value was made of."""

    raw: dict[str, Any] = field(default_factory=dict)
    lines: dict[At, int] = field(default_factory=dict)
    variables: dict[At, list[str]] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


def read_file(path: Path, environment: Mapping[str, str]) -> ConfigFile:
    """Return what `path` says. Raises ConfigError when it is no YAML mapping at all."""
    text = _text(path)
    found = ConfigFile()
    try:
        _check_shape(text, path)
        loader = yaml.CSafeLoader(text)
        node = loader.get_single_node()
        if node is None or node.tag == f"{_TAG}null":
            return found
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{path}: expected a mapping of sections (server, backends, models).")
        found.raw = _Walk(loader, environment, found).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}.") from None
    return found


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8.") from None


def _check_shape(text: str, path: Path) -> None:
    """Refuse what must not reach the composer, which is recursive C."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases (*{event.anchor}) are not supported.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{path}: nested more than {_MAX_DEPTH} levels deep.")


class _Walk:
    """One way through the nodes of a file, which fills in `found`."""

    def __init__(
        self, loader: yaml.CSafeLoader, environment: Mapping[str, str], found: ConfigFile
    ) -> None:
        self._loader = loader
        self._environment = environment
        self._found = found

    def value(self, node: yaml.Node, at: At) -> Any:
        """Return the value of `node`, which stands at `at`."""
        self._found.lines.setdefault(at, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            self._expect(node, "map", at)
            return self._mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            self._expect(node, "seq", at)
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, at)

    def _mapping(self, node: yaml.MappingNode, at: At) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                self._mistake((*at, "?"), f"line {line} has a key that is no text")
                continue
            here = (*at, key.value)
            if key.value in content:
                self._mistake(here, f"stands here twice, again in line {key.start_mark.line + 1}")
                continue
            self._found.lines[here] = key.start_mark.line + 1
            if key.tag != f"{_TAG}str":
                self._mistake(here, "YAML does not read this key as text: write it in quotes")
            content[key.value] = self.value(value, here)
        return content

    def _scalar(self, node: yaml.Node, at: At) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            return self._filled(node.value, at)
        if kind not in _PLAIN:
            self._mistake(at, f"YAML reads this as a {kind}: write it in quotes")
        elif not _PLAIN[kind].fullmatch(node.value):
            form = "true or false" if kind == "bool" else "a plain number"
            told = f"YAML reads `{node.value[:40]}` as something you may not mean"
            self._mistake(at, f"{told}: write it in quotes, or as {form}")
        else:
            return self._loader.construct_object(node)
        return node.value

    def _filled(self, text: str, at: At) -> str:
        names = _VARIABLE.findall(text)
        if "${" in _VARIABLE.sub("", text):
            self._mistake(at, "holds `${` without a name and `}`: only ${NAME} is filled in")
        for name in names:
            if not self._environment.get(name):
                self._mistake(at, f"needs the environment variable {name}: set it")
        if names:
            self._found.variables[at] = names
        return _VARIABLE.sub(lambda found: self._environment.get(found[1], ""), text)

    def _expect(self, node: yaml.Node, kind: str, at: At) -> None:
        if node.tag != _TAG + kind:
            self._mistake(at, f"has the tag {node.tag}, which is not supported")

    def _mistake(self, at: At, what: str) -> None:
        self._found.mistakes.append(Mistake(at, what))
