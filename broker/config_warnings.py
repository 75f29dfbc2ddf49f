"""What a configuration allows and its operator may not have meant."""

from __future__ import annotations

import ipaddress
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from broker.config import ENVIRONMENT, LISTEN, Loaded
from broker.config_secrets import Secret, secrets_of
from schemas.nearness import did_you_mean

MIN_SECRET_BYTES = 16
FILE_NAME = "penstock.yaml"
_PREFIX = "PENSTOCK_"
# What the command line reads besides the variables that override the file.
_OURS = {LISTEN, "PENSTOCK_CONFIG", "PENSTOCK_URL", "PENSTOCK_API_KEY", *ENVIRONMENT}
# What Kubernetes injects for services called penstock, penstock-api and the like.
_INJECTED = re.compile(r"PENSTOCK_([A-Z0-9_]+_)?(SERVICE_(HOST|PORT(_.*)?)|PORT(_.*)?)")


def warnings(loaded: Loaded, path: Path | None, environment: Mapping[str, str]) -> list[str]:
    """Return a sentence for each doubtful thing."""
    secrets = list(secrets_of(loaded.config))
    return [
        *unread_file(path),
        *_unknown_variables(loaded, environment),
        *_readable_secrets(loaded, path, secrets),
        *(told for secret in secrets for told in _weak(secret, loaded)),
    ]


def unread_file(path: Path | None) -> Iterator[str]:
    """Tell of a penstock.yaml that nobody named: its keys and limits are believed to hold."""
    if path is None and Path(FILE_NAME).is_file():
        yield (
            f"{FILE_NAME} in this directory is not read: name it on the command line or in "
            "PENSTOCK_CONFIG."
        )


def _unknown_variables(loaded: Loaded, environment: Mapping[str, str]) -> Iterator[str]:
    used = {name for names in loaded.variables.values() for name in names}
    for name in sorted(environment):
        if not name.upper().startswith(_PREFIX) or name in _OURS | used:
            continue
        if not _INJECTED.fullmatch(name):
            # Compared without the prefix, which would make every two of them alike.
            near = did_you_mean(name[len(_PREFIX) :], {our[len(_PREFIX) :]: our for our in _OURS})
            yield f"{name}: no variable of Penstock, ignored{near or '.'}"


def _readable_secrets(loaded: Loaded, path: Path | None, secrets: list[Secret]) -> Iterator[str]:
    if path is None or not path.stat().st_mode & stat.S_IROTH:
        return
    for secret in secrets:
        source = loaded.sources.get(secret.at, "")
        if source.startswith(f"{path}:") and secret.at not in loaded.variables:
            yield (
                f"{source}: `{_dotted(secret)}`: stands in plain text in a file that everyone can "
                f"read: chmod 600, or write ${{NAME}} and set that variable."
            )


def _weak(secret: Secret, loaded: Loaded) -> Iterator[str]:
    source = loaded.sources.get(secret.at, "configuration")
    if secret.host is None or _is_loopback(secret.host):
        return
    if secret.at[-1] == "amqp_url" and secret.value == "guest":
        yield (
            f"{source}: `{_dotted(secret)}`: RabbitMQ takes the user guest only on its own "
            "machine, and everyone knows its password: make a user."
        )
    elif len(secret.value.encode()) < MIN_SECRET_BYTES:
        yield f"{source}: `{_dotted(secret)}`: a secret shorter than {MIN_SECRET_BYTES} bytes."


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _dotted(secret: Secret) -> str:
    return ".".join(map(str, secret.at))
