"""Options that several verbs share, in one wording."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8080"

Url = Annotated[str, typer.Option("--url", envvar="PENSTOCK_URL", help="The server to talk to.")]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=["PENSTOCK_API_KEY", "PENSTOCK_ADMIN_KEY"],
        help="Key of this server; better in the variable, where `ps` does not show it.",
        show_default=False,
    ),
]
# A tenant's key never opens the admin API: where both variables are set, the admin key is meant.
AdminKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar=["PENSTOCK_ADMIN_KEY", "PENSTOCK_API_KEY"],
        help="The server's admin key; better in the variable, where `ps` does not show it.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Limit = Annotated[int, typer.Option(min=1, help="Show at most this many.")]
ConfigPath = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="PENSTOCK_CONFIG", help="The configuration file."),
]
