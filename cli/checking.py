"""`penstock config check`: usable or not, in a line each."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from broker.config import read_config
from broker.config_warnings import warnings
from schemas.config import Config
from schemas.errors import ConfigError


def run(file: Path | None) -> None:
    """Print that the configuration is usable. Exits 2 with every mistake on standard error."""
    try:
        loaded = read_config(file, os.environ, {}, {})
    except ConfigError as error:
        # As they are, without our name before them: editors jump to FILE:LINE.
        print(error, file=sys.stderr)
        sys.exit(2)
    for doubt in warnings(loaded, file, os.environ):
        print(f"warning: {doubt}", file=sys.stderr)
    print(f"{file or 'environment'}: ok ({_summary(loaded.config)})")


def _summary(config: Config) -> str:
    server = config.server
    keys = sum(len(tenant.keys) for tenant in config.tenants.values())
    models = (
        "every model they list" if config.models == "auto" else _many(len(config.models), "model")
    )
    return ", ".join(
        (
            "embedded" if server.embedded else "on RabbitMQ and Redis",
            f"listens on {server.host}:{server.port}",
            _many(len(config.backends), "backend"),
            models,
            _many(len(config.tenants), "tenant"),
            _many(keys, "key") if config.has_keys else "no keys",
        )
    )


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
