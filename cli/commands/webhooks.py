"""`penstock webhooks`."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from cli.commands.options import DEFAULT_URL, ApiKey, AsJson, Limit, Url, Yes

app = typer.Typer(
    help="Who is told when requests end, and what came of it.",
    no_args_is_help=True,
)

OfEndpoint = Annotated[str | None, typer.Option("--endpoint", help="Only those of this endpoint.")]
OfRequest = Annotated[str | None, typer.Option("--request", help="Only those of this request.")]
After = Annotated[
    float | None,
    typer.Option("--created-after", metavar="SECONDS", help="Only those of later (Unix time)."),
]
Before = Annotated[
    float | None,
    typer.Option("--created-before", metavar="SECONDS", help="Only those of earlier (Unix time)."),
]


@app.command("list")
def list_endpoints(as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """List the endpoints, newest first."""
    from cli import webhooks
    from cli.client import Access

    sys.exit(webhooks.show_endpoints(Access(url, api_key), as_json=as_json))


@app.command()
def create(
    to: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent.")],
    name: Annotated[
        str | None, typer.Option(help="What it is called.", show_default="the URL's host")
    ] = None,
    event: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE", help="Which events, again for more.", show_default="request.*"
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Register an endpoint; its secret is shown this once."""
    from cli import webhooks
    from cli.client import Access

    sys.exit(webhooks.create(Access(url, api_key), to, name, event or (), as_json=as_json))


@app.command("test")
def send_test(
    endpoint_id: Annotated[str, typer.Argument(metavar="ID", help="The endpoint.")],
    event: Annotated[
        str, typer.Option(metavar="TYPE", help="The sample's type.")
    ] = "request.completed",
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Let a sample event be sent, and tell what the endpoint answered."""
    from cli import webhooks
    from cli.client import Access

    sys.exit(webhooks.send_test(Access(url, api_key), endpoint_id, event, as_json=as_json))


@app.command()
def delete(
    endpoint_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The endpoints.")],
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Delete endpoints; what was not sent to them yet is dropped."""
    from cli import webhooks
    from cli.client import Access

    sys.exit(webhooks.delete(Access(url, api_key), endpoint_ids, as_json=as_json))


@app.command()
def deliveries(  # noqa: PLR0913, PLR0917  because each is an option of the command
    endpoint: OfEndpoint = None,
    request: OfRequest = None,
    status: Annotated[
        Literal["pending", "delivered", "failed", "dropped"] | None,
        typer.Option(help="Only those that have come so far."),
    ] = None,
    created_after: After = None,
    created_before: Before = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """List what was sent where, newest first, and what came of it."""
    from cli import webhooks
    from cli.client import Access

    chosen = webhooks.Deliveries(endpoint, request, status, created_after, created_before)
    sys.exit(webhooks.show_deliveries(Access(url, api_key), chosen, limit, as_json=as_json))


@app.command()
def redeliver(  # noqa: PLR0913, PLR0917  because each is an option of the command
    delivery_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The deliveries.")
    ] = None,
    endpoint: OfEndpoint = None,
    request: OfRequest = None,
    status: Annotated[
        Literal["failed", "delivered", "dropped"] | None,
        typer.Option(help="Only those that ended so.", show_default="failed and dropped"),
    ] = None,
    created_after: After = None,
    created_before: Before = None,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Send deliveries again, under their old ids: those named, or all that fit."""
    from cli import webhooks
    from cli.client import Access
    from schemas.errors import ConfigError

    access = Access(url, api_key)
    chosen = webhooks.Deliveries(endpoint, request, status, created_after, created_before)
    if not delivery_ids:
        sys.exit(webhooks.redeliver_range(access, chosen, yes=yes, as_json=as_json))
    if chosen.filters():
        raise ConfigError("name the deliveries, or choose them by options; not both.")
    sys.exit(webhooks.redeliver(access, delivery_ids, as_json=as_json))
