"""Loading the configuration: flags over environment over file over defaults.

Every mistake ends in one ConfigError, a line each, that names file and line. Only the names in
ENVIRONMENT are read: a Kubernetes Service called penstock injects PENSTOCK_PORT and the like,
which must not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.config_file import At, ConfigFile, Mistake, read_file
from broker.config_mistakes import check
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
LISTEN = "PENSTOCK_LISTEN"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and where it comes from.

    `sources` maps a path of keys to `--flag`, a variable's name or `file:line`; what has none is
    a default. `variables` maps it to the names of the variables its value was made of.
    """

    config: Config
    sources: Mapping[At, str] = field(default_factory=dict)
    variables: Mapping[At, list[str]] = field(default_factory=dict)


def load_config(
    path: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any] | None = None,
    backends: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Return the configuration. Raises ConfigError.

    `flags` override keys of `server`; `backends` (from --backend) are added to those of the file.
    """
    return read_config(path, environment, flags or {}, backends or {}).config


def read_config(
    path: Path | None,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    backends: Mapping[str, Mapping[str, Any]],
) -> Loaded:
    """Return the configuration with its sources. Raises ConfigError."""
    file = read_file(path, environment) if path is not None else ConfigFile()
    sources = {at: f"{path}:{line}" for at, line in file.lines.items()}
    listen = _listen(environment)
    given = {key: environment[name] for name, key in ENVIRONMENT.items() if environment.get(name)}
    sources |= {("server", key): name for name, key in ENVIRONMENT.items() if key in given}
    sources |= {("server", key): LISTEN for key in listen}
    sources |= {("server", key): f"--{key.replace('_', '-')}" for key in flags}
    merged = {**file.raw, "server": _over(file.raw.get("server"), {**given, **listen, **flags})}
    if backends:
        sources |= _told_by_flag(backends)
        merged["backends"] = _over(file.raw.get("backends"), backends)
    checked = check(merged)
    if isinstance(checked, list) or file.mistakes:
        found = checked if isinstance(checked, list) else []
        raise ConfigError(_told([*file.mistakes, *found], sources, path))
    return Loaded(checked, sources, file.variables)


def _listen(environment: Mapping[str, str]) -> dict[str, Any]:
    listen = environment.get(LISTEN)
    if not listen:
        return {}
    host, separator, port = listen.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()):
        raise ConfigError(f"{LISTEN} is {listen!r}; write host:port.")
    return {"host": host.strip("[]"), "port": port}


def _over(section: Any, values: Mapping[str, Any]) -> Any:
    """Return `section` with `values` over it; what is no section is left to be refused."""
    if section is None:
        return dict(values)
    return {**section, **values} if isinstance(section, dict) else section


def _told_by_flag(backends: Mapping[str, Mapping[str, Any]]) -> dict[At, str]:
    told: dict[At, str] = {}
    for name, given in backends.items():
        told["backends", name] = "--backend"
        told |= {("backends", name, key): "--backend" for key in given}
    return told


def _told(mistakes: Iterable[Mistake], sources: Mapping[At, str], path: Path | None) -> str:
    """Return a line a mistake, in the order of the file; of one place the first that was found."""
    told: dict[At, tuple[int, str]] = {}
    for mistake in mistakes:
        at = mistake.at
        known = next((at[:n] for n in range(len(at), 0, -1) if at[:n] in sources), None)
        source = sources[known] if known else str(path or "configuration")
        line = source.rpartition(":")[2]
        where = ".".join(map(str, at))
        end = "" if mistake.what.endswith(("?", ".")) else "."
        text = f"{source}: `{where}`: {mistake.what}{end}"
        told.setdefault(at, (int(line) if line.isdigit() else 0, text))
    return "\n".join(text for _, text in sorted(told.values()))
