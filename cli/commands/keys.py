"""`penstock keys`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli.commands.options import AsJson
from schemas.keys import hash_of, is_key, new_key

app = typer.Typer(help="API keys and their hashes; need no server.", no_args_is_help=True)

_YAML = """
# The key is shown this once. penstock.yaml keeps its hash:
tenants:
  {tenant}:
    models: ["*"]
    keys:
      - {{name: {name}, hash: "{hash}"}}"""


@app.command()
def new(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")] = "default",
    name: Annotated[str, typer.Option(help="The key's name in the configuration.")] = "main",
    as_json: AsJson = False,
) -> None:
    """Make a key and the lines of penstock.yaml that let it in."""
    from cli.showing import json_text, print_json

    key = new_key()
    if as_json:
        print_json({"key": key, "hash": hash_of(key), "tenant": tenant, "name": name})
        return
    print(key)
    print(_YAML.format(tenant=json_text(tenant), name=json_text(name), hash=hash_of(key)))


@app.command("hash")
def hash_key() -> None:
    """Read a key from standard input and print its hash for penstock.yaml."""
    from getpass import getpass

    from schemas.errors import ConfigError

    key = (getpass("Key: ") if sys.stdin.isatty() else sys.stdin.readline()).strip()
    if not is_key(key):
        raise ConfigError(
            "that is no key: one is psk_ and 43 letters, digits, - or _ (see penstock keys new)."
        )
    print(hash_of(key))
