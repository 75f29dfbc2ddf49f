"""`penstock`: the commands; each imports what it needs only when it is called."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands import (
    amqp,
    batch,
    config,
    dead_letters,
    installation,
    keys,
    lists,
    requests,
    servers,
    webhooks,
)
from schemas.errors import ConfigError

app = typer.Typer(
    name="penstock",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"penstock {version('penstock-broker')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option(
        "--version", callback=_print_version, is_eager=True, help="Print the version and end."
    ),
]


app.command()(servers.serve)
app.command()(servers.api)
app.command()(servers.worker)
app.command()(requests.submit)
app.command()(requests.status)
app.command()(requests.cancel)
app.command()(installation.init)
app.command()(installation.doctor)
app.add_typer(batch.app, name="batch")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(lists.models, name="models")
app.add_typer(lists.backends, name="backends")
app.add_typer(keys.app, name="keys")
app.add_typer(amqp.app, name="amqp")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(config.app, name="config")


@app.callback()
def _penstock(version: Version = False) -> None:
    """A durable, fair queue in front of AI models."""


def main() -> None:
    """Run the command line: exit 0 ok, 1 requests failed, 2 usage, 3 unreachable, 130 Ctrl-C."""
    try:
        app()
    except ConfigError as error:
        from cli.showing import say

        say(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
