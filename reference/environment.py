"""The page of the environment variables."""

from __future__ import annotations

from broker.config import ENVIRONMENT
from reference.markdown import code, head, table
from schemas.config import ServerConfig

_INTRO = """
Only these names are read. Others that begin with `PENSTOCK_` mean nothing: Kubernetes sets
`PENSTOCK_PORT` and the like beside a Service named penstock.

## The server

They win over the [file](configuration.md), and flags win over them.
"""
_CLIENT = """
## The command line

`submit`, `status`, `cancel` and the other verbs that talk to a server read these.
"""
_FILE = """
## In the configuration file

Any other variable can stand in the file as `${NAME}`, within any value. An unset one is an error at
start that names the variable and the key.
"""


def page() -> str:
    """Return the page."""
    server = [
        (code("PENSTOCK_CONFIG"), "the configuration file, as `--config`"),
        (code("PENSTOCK_LISTEN"), "`host:port`: `server.host` and `server.port` in one"),
        *((code(name), _said(key)) for name, key in ENVIRONMENT.items()),
    ]
    client = [
        (code("PENSTOCK_URL"), "the server to talk to, as `--url`"),
        (code("PENSTOCK_API_KEY"), "the key to show"),
    ]
    columns = ("variable", "what it is")
    return (
        f"{head('Environment variables', 'broker/config.py')}{_INTRO}\n{table(columns, server)}\n"
        f"{_CLIENT}\n{table(columns, client)}\n{_FILE}"
    )


def _said(key: str) -> str:
    description = ServerConfig.model_fields[key].description or ""
    return f"`server.{key}`: {description}"
