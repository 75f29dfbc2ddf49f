"""`penstock batch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Literal

import typer

from cli.commands.options import DEFAULT_URL, ApiKey, AsJson, Limit, Url

app = typer.Typer(
    help="Run files of requests, and fetch their results.",
    no_args_is_help=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The batch.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="The batches.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="FILE", help="With --wait: write the output here."),
]


@app.command()
def submit(  # noqa: PLR0913, PLR0917  because each is an option of the command
    file: Annotated[
        str, typer.Argument(help="JSON lines in OpenAI's batch format; - reads standard input.")
    ],
    endpoint: Annotated[
        str | None, typer.Option(help="The `url` of every line [default: that of the first].")
    ] = None,
    window: Annotated[
        str, typer.Option(help="How long it may take: 24h, 10m, 1h30m; at most 7d.")
    ] = "24h",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, behind a bar.")] = False,
    out: Out = None,
    order: Annotated[
        Literal["completion", "input"], typer.Option(help="The order of the output's lines.")
    ] = "completion",
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="Kept with the batch.")
    ] = None,
    include_cancelled: Annotated[
        bool,
        typer.Option("--include-cancelled", help="Write also lines that a cancel kept back."),
    ] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Upload a file and create a batch of it.

    With --wait the exit code is 1 when a line has failed. Ctrl-C stops waiting; the batch runs on.
    """
    from cli.batches.running import Shown, Submitted
    from cli.batches.running import submit as run
    from cli.client import Access

    more = {"order": order, "include_cancelled": include_cancelled}
    submitted = Submitted(file, endpoint, window, _pairs(metadata or ()), more)
    sys.exit(run(Access(url, api_key), submitted, Shown(wait, out, as_json)))


@app.command("list")
def list_batches(
    limit: Limit = 20, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: ApiKey = None
) -> None:
    """List your batches, newest first."""
    from cli.batches.looking import show_all
    from cli.client import Access

    sys.exit(show_all(Access(url, api_key), limit, as_json=as_json))


@app.command()
def status(
    batch_id: Id,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, behind a bar.")] = False,
    out: Out = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Show a batch, or wait for its end as `submit` does."""
    from cli.batches.looking import show
    from cli.batches.running import Shown, wait_for
    from cli.client import Access

    access, shown = Access(url, api_key), Shown(wait, out, as_json)
    if wait:
        sys.exit(wait_for(access, batch_id, shown))
    sys.exit(show(access, batch_id, as_json=as_json))


@app.command()
def cancel(
    batch_ids: Ids, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: ApiKey = None
) -> None:
    """Cancel batches; what has ended is kept."""
    _switch("cancel", batch_ids, as_json, url, api_key)


@app.command()
def pause(
    batch_ids: Ids, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: ApiKey = None
) -> None:
    """Start no more lines of batches.

    Those in the queues go on, and so does the window.
    """
    _switch("pause", batch_ids, as_json, url, api_key)


@app.command()
def resume(
    batch_ids: Ids, as_json: AsJson = False, url: Url = DEFAULT_URL, api_key: ApiKey = None
) -> None:
    """Go on with paused batches."""
    _switch("resume", batch_ids, as_json, url, api_key)


@app.command()
def results(
    batch_id: Id,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE", help="Where to; - is standard output.")
    ] = "-",
    errors: Annotated[
        bool, typer.Option("--errors", help="The failed lines instead of the completed ones.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Fetch what a batch has written, also while it runs."""
    from cli.batches.results import fetch_results
    from cli.client import Access

    sys.exit(fetch_results(Access(url, api_key), batch_id, out, errors=errors))


@app.command("retry-failed")
def retry_failed(
    batch_id: Id,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, behind a bar.")] = False,
    out: Out = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Do the failed lines again, in a new batch."""
    from cli.batches.running import Shown, retry
    from cli.client import Access

    sys.exit(retry(Access(url, api_key), batch_id, Shown(wait, out, as_json)))


def _switch(
    verb: Literal["cancel", "pause", "resume"],
    ids: list[str],
    as_json: bool,
    url: str,
    api_key: str | None,
) -> None:
    from cli.batches.looking import switch
    from cli.client import Access

    sys.exit(switch(Access(url, api_key), verb, ids, as_json=as_json))


def _pairs(given: Sequence[str]) -> dict[str, str]:
    from schemas.errors import ConfigError

    pairs: dict[str, str] = {}
    for each in given:
        name, separator, value = each.partition("=")
        if not separator:
            raise ConfigError(f"--metadata {each}: write KEY=VALUE.")
        pairs[name] = value
    return pairs
