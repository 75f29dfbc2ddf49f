"""`penstock init` and `penstock doctor`: before there is a server, and when something is wrong."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands.options import ConfigPath


def doctor(
    config: ConfigPath = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    management_url: Annotated[
        str | None,
        typer.Option(help="RabbitMQ's management API, e.g. http://user:password@host:15672."),
    ] = None,
) -> None:
    """Examine every part, and say what is promised.

    Changes nothing. Exit 0: all is well, or only warnings; 1: something failed; 2: configuration.
    """
    from cli.doctor import run

    sys.exit(run(config, management_url, as_json=as_json))


def init(
    directory: Annotated[Path, typer.Argument(help="Where to write.", file_okay=False)] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite; makes new secrets.")] = False,
    engine: Annotated[
        Literal["embedded", "rabbitmq"],
        typer.Option(help="One process on one directory, or what compose.yaml starts."),
    ] = "embedded",
    backend: Annotated[
        str | None, typer.Option(metavar="URL", help="A model server's /v1 URL.")
    ] = None,
) -> None:
    """Write a first penstock.yaml, and a .env with new secrets."""
    from cli.initialising import run

    run(directory, engine, backend, force=force)
