"""`penstock models` and `penstock backends`."""

from __future__ import annotations

import sys

import typer

from cli.commands.options import DEFAULT_URL, AdminKey, AsJson, Url

models = typer.Typer(help="The models that are served (admin).", no_args_is_help=True)
backends = typer.Typer(help="The places that serve them (admin).", no_args_is_help=True)


# The callbacks keep `list` a word of its own: a typer app of one command swallows its name.
@models.callback()
def _models() -> None: ...


@backends.callback()
def _backends() -> None: ...


@models.command("list")
def list_models(as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None) -> None:
    """List the models: targets, aliases, what waits and runs."""
    from cli.client import Access
    from cli.listing import show_models

    sys.exit(show_models(Access(url, api_key), as_json=as_json))


@backends.command("list")
def list_backends(
    as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """List the backends: URLs, slots held now and at most, models."""
    from cli.client import Access
    from cli.listing import show_backends

    sys.exit(show_backends(Access(url, api_key), as_json=as_json))
