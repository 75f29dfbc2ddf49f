"""`penstock amqp grant`: a RabbitMQ user for a tenant, printed as commands or made at once."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from broker.config import load_config
from broker.grants import Grant, granted
from cli.showing import print_json, say
from schemas.config import Config
from schemas.errors import ConfigError
from schemas.nearness import did_you_mean
from schemas.priority import Priority

_PASSWORD_BYTES = 24
_PROGRAM_S = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """For whom, for which priorities, by which configuration."""

    tenant: str
    priorities: tuple[Priority, ...]
    config_file: Path | None


def run(asked: Asked, program: str | None, *, as_json: bool) -> int:
    """Print the commands, or run them with `program`. Raises ConfigError. Returns the exit code."""
    config = load_config(asked.config_file, os.environ)
    grant = _grant(asked, config)
    # Hex: a password that began with a dash would be taken for an option.
    password = secrets.token_hex(_PASSWORD_BYTES)
    made = program is None or _applied(program, grant, password)
    shown = password if made else None
    if as_json:
        print_json({**asdict(grant), "password": shown, "applied": program is not None})
    elif program is None:
        _print_commands(grant, password)
    else:
        _print_applied(grant, shown)
    return 0


def _grant(asked: Asked, config: Config) -> Grant:
    tenant = config.tenants.get(asked.tenant)
    if tenant is None and (config.has_keys or config.tenants):
        near = did_you_mean(asked.tenant, list(config.tenants))
        known = ", ".join(sorted(config.tenants)) or "none"
        raise ConfigError(
            f"there is no tenant {asked.tenant!r} in the configuration{near or f' ({known})'}"
        )
    vhost = unquote(urlsplit(config.server.amqp_url or "").path.removeprefix("/")) or "/"
    models = config.opened_to(asked.tenant)
    namespace, others = config.server.namespace, config.tenants
    return granted(asked.tenant, models, asked.priorities, vhost, namespace, others)


def _print_commands(grant: Grant, password: str) -> None:
    print(f"# The password is shown this once. Skip the first line if {grant.user} exists.")
    for command in (("add_user", grant.user, password), *grant.commands()):
        print(shlex.join(["rabbitmqctl", *command]))


def _print_applied(grant: Grant, password: str | None) -> None:
    print(f"{grant.user} may publish to {grant.exchange} in vhost {grant.vhost}: {grant.topics}")
    if password is None:
        say("The user was there before and keeps its password.")
    else:
        say("Its password is shown this once:")
        print(password)


def _applied(program: str, grant: Grant, password: str) -> bool:
    """Run the commands; False if the user was there before. Raises ConfigError."""
    listed = _output(program, ("list_users", "--silent"))
    new = grant.user not in (line.partition("\t")[0] for line in listed.splitlines())
    if new:
        # By standard input: arguments can be seen by every user of the machine.
        _output(program, ("add_user", grant.user), given=password)
    for command in grant.commands():
        _output(program, command)
    return new


def _output(program: str, command: Sequence[str], given: str = "") -> str:
    try:
        done = subprocess.run(  # noqa: S603  because the operator names the program
            [program, *command],
            input=given,
            capture_output=True,
            text=True,
            timeout=_PROGRAM_S,
            check=False,
        )
    except OSError as error:
        raise ConfigError(
            f"{program} cannot be run ({error.strerror}); run the commands that "
            "`penstock amqp grant` prints without --apply where RabbitMQ is."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"{program} {command[0]} did not end within {_PROGRAM_S:.0f} s."
        ) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit code {done.returncode}"
        raise ConfigError(f"{program} {command[0]} failed: {said}")
    return done.stdout
