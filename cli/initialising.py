"""`penstock init`: a first penstock.yaml, and the secrets beside it in .env."""

from __future__ import annotations

import json
import os
import secrets
import shlex
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from schemas.errors import ConfigError
from schemas.keys import hash_of, new_key

CONFIG_FILE = "penstock.yaml"
SECRETS_FILE = ".env"
_EXAMPLE_PATH = ":11434/v1"
# How a container reaches the machine it runs on; compose.yaml makes the name known.
_HOST_OF_CONTAINERS = "host.docker.internal"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# What the installation stands on.
EngineName = Literal["embedded", "rabbitmq"]


@dataclass(frozen=True, slots=True)
class Secrets:
    """The random parts of one installation."""

    admin_key: str
    client_key: str
    rabbitmq_password: str
    redis_password: str

    @classmethod
    def new(cls) -> Secrets:
        """Draw them; the passwords need no quoting in a URL."""
        return cls(new_key(), new_key(), secrets.token_urlsafe(24), secrets.token_urlsafe(24))


def run(directory: Path, engine: EngineName, backend: str | None, *, force: bool) -> None:
    """Write both files and say what to type next. Raises ConfigError, before it writes any."""
    if backend is not None and not backend.startswith(("http://", "https://")):
        raise ConfigError(f"--backend: {backend!r} is not an http:// or https:// URL.")
    drawn = Secrets.new()
    config = directory / CONFIG_FILE
    env = directory / SECRETS_FILE
    _check_absent([config, env], force=force)
    _write(config, render_config(engine, backend, drawn), 0o644)
    _write(env, render_secrets(engine, drawn), 0o600)
    print(f"wrote {config}: the configuration; its comments say what to do next")
    print(f"wrote {env}: the secrets, for you alone; keep it out of version control")
    print(f"client key: {drawn.client_key}")
    if engine == "rabbitmq":
        _tell_about_containers(directory, backend)
    print(f"next: {_next_command(directory, engine)}")


def render_config(engine: EngineName, backend: str | None, drawn: Secrets) -> str:
    """Return the text of penstock.yaml; without a backend, an example stands there commented."""
    text = _template(f"{engine}.yaml") + _template("rest.yaml")
    backends = _backends(engine, backend)
    return text.replace("@BACKENDS@\n", backends).replace("@KEY_HASH@", hash_of(drawn.client_key))


def render_secrets(engine: EngineName, drawn: Secrets) -> str:
    """Return the text of .env."""
    text = _template(f"{engine}.env")
    for name, value in (
        ("@ADMIN_KEY@", drawn.admin_key),
        ("@API_KEY@", drawn.client_key),
        ("@RABBITMQ_PASSWORD@", drawn.rabbitmq_password),
        ("@REDIS_PASSWORD@", drawn.redis_password),
    ):
        text = text.replace(name, value)
    return text


def _backends(engine: EngineName, backend: str | None) -> str:
    host = "localhost" if engine == "embedded" else _HOST_OF_CONTAINERS
    url = backend or f"http://{host}{_EXAMPLE_PATH}"
    text = _template("backends.yaml").replace("@URL@", json.dumps(url))
    if backend is not None:
        return text
    lines = text.splitlines(keepends=True)
    return "".join(line if line.startswith("#") else f"#{line}" for line in lines)


def _template(name: str) -> str:
    return files("cli").joinpath("templates", name).read_text("utf-8")


def _check_absent(paths: list[Path], *, force: bool) -> None:
    """Refuse to overwrite: secrets that are gone lock their holder out."""
    there = [str(path) for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise ConfigError(
            f"{' and '.join(there)} would be overwritten: choose another directory, or --force "
            "to make new ones with new secrets."
        )


def _write(path: Path, text: str, mode: int) -> None:
    """Make a file that is never open to more readers than `mode` says, whatever stood there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # The umask may have taken away what a container's user needs to read it.
            os.fchmod(descriptor, mode)
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}.") from None


def _tell_about_containers(directory: Path, backend: str | None) -> None:
    if urlsplit(backend or "").hostname in _LOOPBACK:
        print(
            f"note: in a container, {backend} is the container itself; for a server on this "
            f"machine write {_HOST_OF_CONTAINERS} in {CONFIG_FILE}"
        )
    if not (directory / "compose.yaml").exists():
        print("note: both files belong beside the compose.yaml of Penstock's sources")


def _next_command(directory: Path, engine: EngineName) -> str:
    here = directory.resolve() == Path.cwd()
    enter = "" if here else f"cd {shlex.quote(str(directory))} && "
    if engine == "rabbitmq":
        return f"{enter}docker compose up --build --detach --wait"
    return f"{enter}set -a && . ./.env && set +a && penstock serve --config {CONFIG_FILE}"
