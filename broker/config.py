"""Loading the configuration: flags over environment over file over defaults.

Every mistake ends as one ConfigError that names file and line. Only the names in ENVIRONMENT are
read: a Kubernetes Service called penstock injects PENSTOCK_PORT and the like, which must not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from schemas.config import Config
from schemas.errors import ConfigError

ENVIRONMENT: dict[str, str] = {
    "PENSTOCK_DATA_DIR": "data_dir",
    "PENSTOCK_AMQP_URL": "amqp_url",
    "PENSTOCK_REDIS_URL": "redis_url",
    "PENSTOCK_NAMESPACE": "namespace",
    "PENSTOCK_LOG_LEVEL": "log_level",
    "PENSTOCK_ADMIN_KEY": "admin_key",
}
_MAX_FILE_BYTES = 1024 * 1024
_MAX_DEPTH = 50
# What the parser raises for keys that are no text and for tags that do not fit.
_PARSER_SLIPS = (AttributeError, TypeError, ValueError)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")

Path_ = tuple[str | int, ...]


def load_config(
    path: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    backends: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Return the configuration. Raises ConfigError.

    `flags` override keys of `server`; `backends` (from --backend) are added to those of the file.
    """
    raw, lines = _read(path, environment) if path is not None else ({}, {})
    server = {**_section(raw, "server"), **_from_environment(environment), **dict(flags or {})}
    merged = {**raw, "server": server}
    if backends:
        merged["backends"] = {**_section(raw, "backends"), **backends}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_explain(error, path, lines)) from None


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)
    }
    if listen := environment.get("PENSTOCK_LISTEN"):
        host, separator, port = listen.rpartition(":")
        if not separator or not port.isdigit():
            raise ConfigError(f"PENSTOCK_LISTEN is {listen!r}; write host:port.")
        values.update(host=host.strip("[]"), port=int(port))
    return values


def _section(raw: Mapping[str, Any], name: str) -> dict[str, Any]:
    section = raw.get(name) or {}
    return dict(section) if isinstance(section, dict) else {"": section}


def _read(path: Path, environment: Mapping[str, str]) -> tuple[dict[str, Any], dict[Path_, int]]:
    """Return the file's mapping with variables filled in, and the line of each of its keys."""
    text = _text(path)
    try:
        _check_shape(text, path)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
        lines = _lines(node, path) if node is not None else {}
        raw = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{place}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, *_PARSER_SLIPS) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}.") from None
    if raw is None:
        return {}, {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected a mapping of sections (server, backends, models).")
    return _filled(raw, environment, path, ()), lines


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_FILE_BYTES} bytes.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8.") from None


def _check_shape(text: str, path: Path) -> None:
    """Refuse aliases, nested ones grow without bound, and depth, which would end the process."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"{path}: YAML aliases (*{event.anchor}) are not supported.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"{path}: nested deeper than {_MAX_DEPTH}.")


def _lines(node: yaml.Node, path: Path, at: Path_ = ()) -> dict[Path_, int]:
    lines: dict[Path_, int] = {at: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise ConfigError(f"{path}:{line}: the key {key.value!r} appears twice.")
            seen.add(key.value)
            lines.update(_lines(value, path, (*at, key.value)))
            lines[(*at, key.value)] = line
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines.update(_lines(item, path, (*at, index)))
    return lines


def _filled(value: Any, environment: Mapping[str, str], path: Path, at: Path_) -> Any:
    if isinstance(value, dict):
        return {k: _filled(v, environment, path, (*at, k)) for k, v in value.items()}
    if isinstance(value, list):
        return [_filled(item, environment, path, (*at, i)) for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if not environment.get(name):
            where = ".".join(map(str, at))
            raise ConfigError(f"{path}: `{where}` needs the environment variable {name}: set it.")
        return environment[name]

    return _VARIABLE.sub(fill, value)


def _explain(error: ValidationError, path: Path | None, lines: Mapping[Path_, int]) -> str:
    """Return one line a mistake: where it is and what is wrong."""
    told: list[str] = []
    for mistake in error.errors(include_url=False, include_input=False):
        at = tuple(part for part in mistake["loc"] if part in _keys(lines) or not lines)
        line = next((lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in lines), None)
        place = f"{path}:{line}" if path and line else str(path or "configuration")
        name = ".".join(str(part) for part in mistake["loc"]) or "the file"
        told.append(f"{place}: `{name}`: {mistake['msg'].removeprefix('Value error, ')}.")
    return "\n".join(told)


def _keys(lines: Mapping[Path_, int]) -> set[str | int]:
    return {part for at in lines for part in at}
