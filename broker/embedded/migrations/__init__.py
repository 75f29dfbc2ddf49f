"""The file's schema, version by version: a new file takes every step, an older one the rest.

`N.sql` leads from version N - 1 to N. A file that was released is never changed afterwards.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import apsw

from schemas.errors import ConfigError

SCHEMA_VERSION = 6


def migrate(connection: apsw.Connection, path: Path) -> None:
    """Bring the file at `path` to SCHEMA_VERSION, in one transaction.

    Raises ConfigError for a file that a newer version has written.
    """
    version = connection.pragma("user_version")
    if version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} was written by a newer version of Penstock (schema {version}, this one "
            f"reads up to {SCHEMA_VERSION}); upgrade Penstock, or use another data directory."
        )
    if version == SCHEMA_VERSION:
        return
    with connection:
        for number in range(version + 1, SCHEMA_VERSION + 1):
            connection.execute(files(__package__).joinpath(f"{number}.sql").read_text("utf-8"))
        connection.pragma("user_version", SCHEMA_VERSION)
