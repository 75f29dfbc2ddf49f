"""`penstock serve`, `api` and `worker`: the processes of a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import ConfigPath

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


def serve(  # noqa: PLR0917  because each is an option of the command
    config: ConfigPath = None,
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


def api(
    config: ConfigPath = None,
    host: Host = None,
    port: Port = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
) -> None:
    """Run only the doors, on RabbitMQ and Redis."""
    from cli.options import Options, Role
    from cli.serving import run

    run(Role.API, Options(config, host, port, tls_cert=tls_cert, tls_key=tls_key))


def worker(
    config: ConfigPath = None,
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
