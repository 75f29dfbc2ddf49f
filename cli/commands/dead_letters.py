"""`penstock dead-letters`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands.options import DEFAULT_URL, AdminKey, AsJson, Limit, Url, Yes

app = typer.Typer(
    help="Look at, redrive and purge what failed for good (admin).",
    no_args_is_help=True,
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The dead letters.")]
Everything = Annotated[bool, typer.Option("--all", help="All of them, or all of --model.")]
OfModel = Annotated[str | None, typer.Option("--model", help="Only those of this model.")]
Foreign = Annotated[
    bool, typer.Option("--foreign", help="The messages that are none of Penstock's.")
]


@app.command("list")
def list_letters(  # noqa: PLR0917  because each is an option of the command
    model: OfModel = None,
    tenant: Annotated[str | None, typer.Option(help="Only those of this tenant.")] = None,
    limit: Limit = 100,
    foreign: Foreign = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: AdminKey = None,
) -> None:
    """List the dead letters, newest first."""
    from cli import dead_lettering
    from cli.client import Access
    from schemas.errors import ConfigError

    access = Access(url, api_key)
    if not foreign:
        sys.exit(dead_lettering.show_all(access, model, tenant, limit, as_json=as_json))
    if model or tenant:
        raise ConfigError("foreign messages have no model and no tenant.")
    sys.exit(dead_lettering.show_foreign(access, limit, as_json=as_json))


@app.command()
def show(
    request_id: Annotated[str, typer.Argument(metavar="ID", help="The dead letter.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: AdminKey = None,
) -> None:
    """Show how one ended and what the client had sent."""
    from cli import dead_lettering
    from cli.client import Access

    sys.exit(dead_lettering.show(Access(url, api_key), request_id, as_json=as_json))


@app.command()
def redrive(  # noqa: PLR0917  because each is an option of the command
    request_ids: Ids = None,
    everything: Everything = False,
    model: OfModel = None,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: AdminKey = None,
) -> None:
    """Submit dead letters again, as new requests.

    One that was redriven before is not submitted twice.
    """
    from cli import dead_lettering
    from cli.client import Access

    choice = dead_lettering.Choice(request_ids or (), everything, model, yes, as_json)
    sys.exit(dead_lettering.redrive(Access(url, api_key), choice))


@app.command()
def purge(  # noqa: PLR0917  because each is an option of the command
    request_ids: Ids = None,
    everything: Everything = False,
    model: OfModel = None,
    foreign: Foreign = False,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: AdminKey = None,
) -> None:
    """Forget what dead letters had asked for.

    Their requests can still be read, and no longer be redriven.
    """
    from cli import dead_lettering
    from cli.client import Access
    from schemas.errors import ConfigError

    access = Access(url, api_key)
    if not foreign:
        choice = dead_lettering.Choice(request_ids or (), everything, model, yes, as_json)
        sys.exit(dead_lettering.purge(access, choice))
    if request_ids or everything or model:
        raise ConfigError("--foreign purges all foreign messages and takes nothing beside it.")
    sys.exit(dead_lettering.purge_foreign(access, yes=yes, as_json=as_json))
