"""What the command line says of a server; with file and environment it is the configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from broker.config import load_config
from schemas.config import Config
from schemas.errors import ConfigError


class Role(Enum):
    """Which parts this process runs."""

    BOTH = "serve"
    API = "api"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; None and empty leave it to the environment and the file."""

    config_file: Path | None = None
    host: str | None = None
    port: int | None = None
    data_dir: Path | None = None
    backends: Sequence[str] = ()
    backend_key_env: str | None = None
    only_models: Sequence[str] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    alive_file: Path | None = None

    def load(self) -> Config:
        """Return the configuration with these options over it. Raises ConfigError."""
        return load_config(self.config_file, os.environ, self.flags(), self.named_backends())

    def flags(self) -> dict[str, Any]:
        """Return the keys of `server` that are given here."""
        paths = {"data_dir": self.data_dir, "tls_cert": self.tls_cert, "tls_key": self.tls_key}
        flags: dict[str, Any] = {name: str(path) for name, path in paths.items() if path}
        given = {"host": self.host, "port": self.port}
        return flags | {name: value for name, value in given.items() if value is not None}

    def named_backends(self) -> dict[str, dict[str, Any]]:
        """Return the --backend options as a section. Raises ConfigError."""
        return _named_backends(self.backends, self.backend_key_env)


def _named_backends(backends: Sequence[str], key_env: str | None) -> dict[str, dict[str, Any]]:
    """Return the --backend options as a section of the configuration."""
    key = _key(key_env)
    named: dict[str, dict[str, Any]] = {}
    for number, text in enumerate(backends, 1):
        name, separator, url = text.partition("=")
        if not separator or "://" in name:
            name, url = f"backend-{number}", text
        if name in named:
            raise ConfigError(f"--backend names {name!r} twice.")
        named[name] = {"urls": [url], **({"api_key": key} if key else {})}
    return named


def _key(key_env: str | None) -> str | None:
    if key_env is None:
        return None
    if not os.environ.get(key_env):
        raise ConfigError(f"--backend-key-env: the variable {key_env} is not set.")
    return os.environ[key_env]
