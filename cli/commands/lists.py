"""`penstock models` and `penstock backends`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.options import DEFAULT_URL, AdminKey, AsJson, Url

if TYPE_CHECKING:
    from cli.switching import Kind, Verb

models = typer.Typer(help="The models that are served (admin).", no_args_is_help=True)
backends = typer.Typer(help="The places that serve them (admin).", no_args_is_help=True)


Models = Annotated[list[str], typer.Argument(metavar="NAME...", help="The models.")]
Backends = Annotated[list[str], typer.Argument(metavar="NAME...", help="The backends.")]


@models.command("list")
def list_models(as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None) -> None:
    """List the models: state, targets, aliases, what waits and runs."""
    from cli.client import Access
    from cli.listing import show_models

    sys.exit(show_models(Access(url, api_key), as_json=as_json))


@backends.command("list")
def list_backends(
    as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """List the backends: state, URLs, slots held now and at most, models."""
    from cli.client import Access
    from cli.listing import show_backends

    sys.exit(show_backends(Access(url, api_key), as_json=as_json))


@models.command("pause")
def pause_models(
    names: Models, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Let models accept and start nothing; what runs ends."""
    _switch("models", "pause", names, url, api_key, as_json=as_json)


@models.command("resume")
def resume_models(
    names: Models, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Let models accept and start again."""
    _switch("models", "resume", names, url, api_key, as_json=as_json)


@models.command("drain")
def drain_models(
    names: Models, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Let models refuse new requests and serve what waits."""
    _switch("models", "drain", names, url, api_key, as_json=as_json)


@backends.command("pause")
def pause_backends(
    names: Backends, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Start nothing on backends: what was chosen for them waits; what runs ends."""
    _switch("backends", "pause", names, url, api_key, as_json=as_json)


@backends.command("resume")
def resume_backends(
    names: Backends, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Let backends start calls again."""
    _switch("backends", "resume", names, url, api_key, as_json=as_json)


@backends.command("drain")
def drain_backends(
    names: Backends, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: AdminKey = None
) -> None:
    """Start nothing on backends; their share goes to the other targets of each model."""
    _switch("backends", "drain", names, url, api_key, as_json=as_json)


def _switch(
    kind: Kind, verb: Verb, names: Sequence[str], url: str, api_key: str | None, *, as_json: bool
) -> None:
    from cli.client import Access
    from cli.switching import switch

    sys.exit(switch(Access(url, api_key), kind, verb, names, as_json=as_json))
