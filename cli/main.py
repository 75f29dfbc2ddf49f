"""`penstock`: the commands; each imports what it needs only when it is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.commands import config, dead_letters, keys, lists, requests
from schemas.errors import ConfigError

app = typer.Typer(
    name="penstock",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="PENSTOCK_CONFIG", help="The configuration file."),
]
Host = Annotated[str | None, typer.Option(help="Address to listen on [default: 127.0.0.1].")]
Port = Annotated[int | None, typer.Option(help="Port to listen on [default: 8080].")]
DataDir = Annotated[
    Path | None, typer.Option(help="Where the embedded engine keeps its data.", file_okay=False)
]
TlsCert = Annotated[Path | None, typer.Option(help="PEM certificate with its chain: serve HTTPS.")]
TlsKey = Annotated[Path | None, typer.Option(help="PEM key of the certificate.")]
Backends = Annotated[
    list[str] | None,
    typer.Option("--backend", metavar="[NAME=]URL", help="A model server's /v1 URL; repeatable."),
]
BackendKey = Annotated[
    str | None,
    typer.Option("--backend-key-env", metavar="VAR", help="Variable with the backends' API key."),
]


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


@app.command()
def serve(  # noqa: PLR0917  because each is an option of the command
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    data_dir: DataDir = None,
    backend: Backends = None,
    backend_key_env: BackendKey = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run the doors and the workers in one process.

    Without PENSTOCK_AMQP_URL and PENSTOCK_REDIS_URL it is embedded: one data directory is all.
    """
    from cli.options import Options, Role
    from cli.serving import run

    options = Options(
        config,
        host,
        port,
        data_dir,
        backend or (),
        backend_key_env,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    run(Role.BOTH, options)


@app.command()
def api(
    config: ConfigFile = None,
    host: Host = None,
    port: Port = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run only the doors, on RabbitMQ and Redis."""
    from cli.options import Options, Role
    from cli.serving import run

    run(Role.API, Options(config, host, port, tls_cert=tls_cert, tls_key=tls_key))


@app.command()
def worker(
    config: ConfigFile = None,
    models: Annotated[
        list[str] | None, typer.Option(help="Serve only these models; repeatable.")
    ] = None,
    backend: Backends = None,
    backend_key_env: BackendKey = None,
    alive_file: Annotated[
        Path | None,
        typer.Option(help="Touched every 2 s while it lives, for a health check.", dir_okay=False),
    ] = None,
) -> None:
    """Run only the workers, on RabbitMQ and Redis."""
    from cli.options import Options, Role
    from cli.serving import run

    options = Options(
        config,
        backends=backend or (),
        backend_key_env=backend_key_env,
        only_models=models or (),
        alive_file=alive_file,
    )
    run(Role.WORKER, options)


app.command()(requests.submit)
app.command()(requests.status)
app.command()(requests.cancel)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(lists.models, name="models")
app.add_typer(lists.backends, name="backends")
app.add_typer(keys.app, name="keys")
app.add_typer(config.app, name="config")


@app.callback()
def _penstock(version: Version = False) -> None:
    """A durable, fair queue in front of AI models."""


@app.command()
def doctor(
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    management_url: Annotated[
        str | None,
        typer.Option(help="RabbitMQ's management API, e.g. http://user:password@host:15672."),
    ] = None,
) -> None:
    """Examine every part this configuration names, and say what is promised.

    Changes nothing. Exit 0: all is well, or only warnings; 1: something failed; 2: configuration.
    """
    from cli.doctor import run

    sys.exit(run(config, management_url, as_json=as_json))


@app.command()
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
