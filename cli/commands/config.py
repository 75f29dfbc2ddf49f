"""`penstock config`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Check, show or convert a configuration; needs no server.", no_args_is_help=True
)

File = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        envvar="PENSTOCK_CONFIG",
        help="The configuration file; without it, the environment alone.",
    ),
]


class Foreign(StrEnum):
    """Whose configuration can be converted."""

    LITELLM = "litellm"


@app.command()
def check(file: File = None) -> None:
    """Say that a configuration is usable, or what is wrong.

    Every mistake is told in a line of its own, with its place, and the exit code is 2. What is
    allowed and probably not meant is told on standard error.
    """
    from cli.checking import run

    run(file)


@app.command()
def show(
    file: File = None,
    host: Annotated[str | None, typer.Option(help="As for `penstock serve`.")] = None,
    port: Annotated[int | None, typer.Option(help="As for `penstock serve`.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="As for `penstock serve`.")] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option("--backend", metavar="[NAME=]URL", help="As for `penstock serve`."),
    ] = None,
) -> None:
    """Print the effective values and where they come from.

    Secrets are masked.
    """
    from cli.config_showing import run
    from cli.options import Options

    run(Options(file, host, port, data_dir, backend or ()))


@app.command("import")
def convert(
    kind: Annotated[Foreign, typer.Argument(help="What the file is.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The configuration to convert.")],
) -> None:
    """Convert another gateway's file to a penstock.yaml.

    It is printed; what could not be taken over stands in it as comments, and on standard error.
    Keys are never copied: they become variables.
    """
    from cli.importing import run

    sys.exit(run(kind.value, file))
