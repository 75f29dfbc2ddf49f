"""`penstock submit`, `status`, `cancel`."""

from __future__ import annotations

import secrets
import sys
from typing import Annotated, Literal

import typer

from cli.commands.options import DEFAULT_URL, ApiKey, AsJson, Url, Yes


def submit(  # noqa: PLR0913, PLR0917  because each is an option of the command
    file: Annotated[
        str, typer.Argument(help="JSON lines, one request body each; - reads standard input.")
    ] = "-",
    model: Annotated[str | None, typer.Option(help="Model for lines that name none.")] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", "-p", help="One chat message instead of a file.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="The backend's path [default: /v1/chat/completions].")
    ] = None,
    priority: Annotated[
        Literal["high", "normal", "low", "batch"] | None,
        typer.Option(help="Priority of lines that name none."),
    ] = None,
    timeout_s: Annotated[
        float | None, typer.Option(help="Seconds until the deadline of lines that name none.")
    ] = None,
    idempotency_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="Submit the same file twice with one prefix and nothing runs twice.",
        ),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait and print the results.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print whole request objects.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Submit requests and print their results, in order.

    Input and output are JSON lines. A line is a chat body ({"model": ..., "messages": [...]})
    or a whole request ({"body": {...}, "priority": "low", ...}). Ctrl-C stops submitting; what
    was accepted runs on.
    """
    from cli.client import Access
    from cli.lines import Defaults
    from cli.submitting import Submission, run

    defaults = Defaults(model, endpoint, priority, timeout_s)
    prefix = secrets.token_hex(8) if idempotency_prefix is None else idempotency_prefix
    submission = Submission(file, prompt, defaults, prefix, wait, as_json)
    sys.exit(run(Access(url, api_key), submission))


def status(
    request_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A request; without it, the models.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    admin_key: Annotated[str | None, typer.Option(envvar="PENSTOCK_ADMIN_KEY", hidden=True)] = None,
) -> None:
    """Show one request, or every model with its load.

    With the server's admin key the backends are shown too.
    """
    from cli.client import Access
    from cli.reporting import show_all, show_request

    access = Access(url, api_key)
    if request_id is not None:
        sys.exit(show_request(access, request_id, as_json=as_json))
    sys.exit(show_all(access, Access(url, admin_key or api_key), as_json=as_json))


def cancel(  # noqa: PLR0913, PLR0917  because each is an option of the command
    request_ids: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="The requests.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Instead of ids: every open request of this model.")
    ] = None,
    status: Annotated[
        Literal["queued", "in_progress"] | None,
        typer.Option(help="Instead of ids: every request with this status."),
    ] = None,
    priority: Annotated[
        Literal["high", "normal", "low", "batch"] | None,
        typer.Option(help="Instead of ids: every open request of this priority."),
    ] = None,
    created_after: Annotated[
        float | None, typer.Option(help="Only those created after this; Unix seconds.")
    ] = None,
    created_before: Annotated[
        float | None, typer.Option(help="Only those created before this; Unix seconds.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Every open request of this tenant (admin).")
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    admin_key: Annotated[str | None, typer.Option(envvar="PENSTOCK_ADMIN_KEY", hidden=True)] = None,
) -> None:
    """Cancel requests; one that has ended stays as it is.

    By a filter, more than 100 are cancelled only after a question.
    """
    from cli.cancelling import Filters, cancel_matching, cancel_named
    from cli.client import Access
    from schemas.errors import ConfigError

    filters = Filters(model, status, priority, created_after, created_before, tenant)
    if bool(request_ids) == bool(filters.given):
        raise ConfigError("name the requests, or choose them by filters such as --model MODEL.")
    if request_ids:
        sys.exit(cancel_named(Access(url, api_key), request_ids, as_json=as_json))
    access = Access(url, api_key if tenant is None else admin_key or api_key)
    sys.exit(cancel_matching(access, filters, yes=yes, as_json=as_json))
