"""`penstock amqp`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands.options import AsJson, ConfigPath
from schemas.priority import Priority

app = typer.Typer(help="Who may publish requests to RabbitMQ.", no_args_is_help=True)


@app.callback()
def _amqp() -> None:
    """Who may publish requests to RabbitMQ."""


@app.command()
def grant(
    tenant: Annotated[str, typer.Argument(help="A tenant of the configuration.")],
    priority: Annotated[
        list[Priority] | None, typer.Option(help="Only these; all without the option.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Run the commands instead of printing them.")
    ] = False,
    rabbitmqctl: Annotated[
        str, typer.Option(metavar="PROGRAM", help="What --apply runs.")
    ] = "rabbitmqctl",
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """Give a tenant a RabbitMQ user that may publish to its models, and nothing else.

    Prints the commands of rabbitmqctl with a new password, or runs them. A user that exists keeps
    its password.
    """
    from cli.granting import Asked, run

    asked = Asked(tenant, tuple(priority or Priority), config)
    sys.exit(run(asked, rabbitmqctl if apply else None, as_json=as_json))
