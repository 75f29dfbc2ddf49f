"""One S3 server: nanio, which checks signatures and keeps buckets as folders."""

from __future__ import annotations

import os
import secrets
import sys
from importlib.metadata import version
from pathlib import Path

from schemas.blob_config import S3Config
from tests.servers.ports import reserve
from tests.servers.probe import answers_http
from tests.servers.process import Child, OneProcess

BUCKET = "penstock"
ACCESS_KEY = "penstock-tests"
SECRET_KEY = "secret-of-the-tests"
_BOOT_S = 30.0


def bucket_at(url: str) -> S3Config:
    """Return how to use the bucket of the server at `url`, below a prefix that is new."""
    return S3Config(
        bucket=BUCKET,
        endpoint=url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        prefix=f"t{secrets.token_hex(4)}",
    )


class S3Server(OneProcess):
    """A server in `folder`, on loopback only, with one bucket and one pair of keys."""

    def __init__(self, folder: Path, port: int | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.port = port or reserve()
        self.url = f"http://127.0.0.1:{self.port}"
        self.version = version("nanio")

    @property
    def uploads(self) -> list[Path]:
        """The uploads in parts that were neither completed nor aborted."""
        return list((self.folder / "data" / ".nanio" / "multipart").glob("*"))

    def start(self) -> None:
        """Start on whatever the folder holds and return once it answers."""
        (self.folder / "data" / BUCKET).mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "NANIO_ACCESS_KEY": ACCESS_KEY,
            "NANIO_SECRET_KEY": SECRET_KEY,
        }
        arguments = ["serve", "--data-dir", str(self.folder / "data"), "--host", "127.0.0.1"]
        arguments += ["--port", str(self.port), "--no-access-log"]
        command = [sys.executable, "-m", "nanio", *arguments]
        process = Child(command, environment, self.folder / "nanio.log")
        self._boot(process, lambda: answers_http(self.url), _BOOT_S)
