"""The examination of the configuration itself: what the file gives away, what it will lead to."""

from __future__ import annotations

import ipaddress
import platform
import stat
from importlib.metadata import version
from pathlib import Path

from broker.config_warnings import FILE_NAME
from broker.findings import Examined, Finding
from broker.masking import secrets_of
from schemas.config import Config
from schemas.priority import PRIORITIES, Lane

PART = "Configuration"
MOST_QUEUES = 2_000
_LIBRARIES = ("penstock-broker", "aio-pika", "redis", "apsw", "aiohttp", "pydantic")


def examine(config: Config, path: Path | None, models: int) -> list[Finding]:
    """Return what is to be said of a configuration that loaded; `models` is how many it serves."""
    examined = Examined(PART)
    if path is None and Path(FILE_NAME).is_file():
        examined.warn(
            "file",
            f"{FILE_NAME} in this directory is not read",
            "name it: --config or PENSTOCK_CONFIG",
        )
    elif path is None:
        examined.note("file", "no file: defaults and the environment", "`penstock init` writes one")
    else:
        _file(examined, path, secrets_of(config))
    _doors(examined, config)
    if not config.server.embedded:
        _queue_count(examined, models)
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    examined.ok("versions", f"Python {platform.python_version()}, {libraries}")
    return examined.findings


def _file(examined: Examined, path: Path, secrets: list[str]) -> None:
    text = path.read_text("utf-8-sig")
    mode = stat.S_IMODE(path.stat().st_mode)
    inside = any(secret in text for secret in secrets)
    if inside and mode & (stat.S_IRGRP | stat.S_IROTH):
        who = "everyone" if mode & stat.S_IROTH else "its group"
        examined.warn(
            "file",
            f"{path} holds secrets and {who} can read it (mode {mode:04o})",
            f"chmod 600 {path}, or put the secrets into the environment as ${{NAME}}",
        )
    else:
        secret = "with secrets inside" if inside else "no secrets inside"
        examined.ok("file", f"{path} (mode {mode:04o}, {secret})")


def _doors(examined: Examined, config: Config) -> None:
    host = config.server.host
    if config.has_keys:
        keys = sum(len(tenant.keys) for tenant in config.tenants.values())
        admin = "an admin key" if config.server.admin_key else "no admin key"
        examined.ok("access", f"{keys} API keys, {admin}; listens on {host}")
    elif is_loopback(host):
        examined.ok("access", f"no API keys: everyone on this machine, and only they ({host})")
    else:
        examined.fail(
            "access",
            f"no API keys, but it is to listen on {host}: the server will not start",
            "configure keys (`penstock keys new`) or PENSTOCK_ADMIN_KEY, or listen on 127.0.0.1",
        )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _queue_count(examined: Examined, models: int) -> None:
    queues = len(Lane) * len(PRIORITIES) * models
    said = f"{models} {'model makes' if models == 1 else 'models make'} up to {queues:,} queues"
    if queues > MOST_QUEUES:
        examined.warn(
            "queues",
            f"{said}, more than {MOST_QUEUES:,}",
            "give RabbitMQ more nodes and memory, or spread the models over several namespaces "
            "on several RabbitMQs",
        )
    else:
        examined.ok("queues", said)
