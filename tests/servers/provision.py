"""Where RabbitMQ's and Redis's programs are: installed by Debian, or unpacked into .tools/servers.

`python -m tests.servers.provision` fetches what no URL in the environment stands in for.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.servers import apt

_REPOSITORY = Path(__file__).resolve().parents[2]
# A linked folder is one and the same for all that link to it.
_TOOLS = (_REPOSITORY / ".tools" / "servers").resolve()
_SYSTEM = Path("/")

AMQP_VARIABLE = "PENSTOCK_TEST_AMQP_URL"
REDIS_VARIABLE = "PENSTOCK_TEST_REDIS_URL"

WAYS_OUT = f"""\
The tests need a real RabbitMQ and a real Redis, and this machine has neither Debian's packages of
them nor apt-get to fetch those. Start the two anywhere (never with data you need) and say where:

    export {AMQP_VARIABLE}=amqp://guest:guest@127.0.0.1:5672/
    export {REDIS_VARIABLE}=redis://127.0.0.1:6379/0
"""


class NotProvisioned(RuntimeError):
    """The servers can be neither found nor fetched here; the text says what to type."""


@dataclass(frozen=True)
class Program:
    """One server's programs, below `root`: the system's, or where packages were unpacked."""

    root: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What the programs need to find each other and their libraries."""
        if self.root == _SYSTEM:
            return {"PATH": f"{self.folder}:/usr/local/bin:/usr/bin:/bin"}
        libraries = [str(found) for found in sorted((self.root / "usr/lib").glob("*-linux-gnu*"))]
        return {
            "PATH": f"{self.folder}:{self.root}/usr/bin:/usr/local/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": ":".join(libraries),
            # For a system that had a part of Erlang installed and so got only the rest unpacked.
            "ERL_LIBS": f"{self.root}/usr/lib/erlang/lib",
        }

    @property
    def origin(self) -> str:
        return "installed" if self.root == _SYSTEM else "unpacked into .tools"

    def ask(self, *command: str) -> str:
        """The last line that `command` prints. Raises NotProvisioned if it does not run."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotProvisioned(f"{command[0]} does not run here:\n{done.stdout}{done.stderr}")
        return done.stdout.strip().splitlines()[-1]


@dataclass(frozen=True)
class Binaries:
    """Both servers' programs."""

    rabbitmq: Program
    redis: Program


def binaries() -> Binaries:
    """Find both servers' programs, or fetch them. Raises NotProvisioned."""
    return Binaries(rabbitmq_program(), redis_program())


@cache
def rabbitmq_program() -> Program:
    """`folder` is the versioned sbin: Debian's usr/sbin wrappers change user, which needs root."""
    if shutil.which("erl") and (found := _rabbitmq_below(_SYSTEM)):
        return found
    with _unpacked("rabbitmq-server") as (root, fresh):
        erl = root / "usr/lib/erlang/bin/erl"
        if fresh and erl.exists():
            # The one path written into the packages; it also ties the folder to its place.
            text = erl.read_text().replace(
                "ROOTDIR=/usr/lib/erlang", f"ROOTDIR={root}/usr/lib/erlang"
            )
            erl.write_text(text)
        if found := _rabbitmq_below(root):
            return found
    raise NotProvisioned(
        f"rabbitmq-server was unpacked into {root}, but its programs are not there"
    )


@cache
def redis_program() -> Program:
    """`folder` holds redis-server and redis-cli."""
    installed = Program(_SYSTEM, Path("/usr/bin"))
    if all((installed.folder / name).exists() for name in ("redis-server", "redis-cli")):
        return installed
    with _unpacked("redis-server") as (root, _fresh):
        return Program(root, root / "usr/bin")


def _rabbitmq_below(root: Path) -> Program | None:
    found = sorted(root.glob("usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"))
    return Program(root, found[-1].parent) if found else None


@contextmanager
def _unpacked(package: str) -> Iterator[tuple[Path, bool]]:
    """The folder `package` is unpacked in, and whether that happened just now.

    It counts as unpacked only when the caller's block has ended well, and where it was made: a
    moved folder is unpacked again. One process at a time.
    """
    if not apt.usable():
        raise NotProvisioned(WAYS_OUT)
    _TOOLS.mkdir(parents=True, exist_ok=True)
    root, ready = _TOOLS / package, _TOOLS / f"{package}.ready"
    with (_TOOLS / f"{package}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        fresh = not ready.exists() or ready.read_text() != str(root)
        if fresh:
            shutil.rmtree(root, ignore_errors=True)
            try:
                apt.unpack(package, root, _TOOLS / "apt")
            except apt.AptError as error:
                raise NotProvisioned(f"{error}\n\n{WAYS_OUT}") from error
        yield root, fresh
        ready.write_text(str(root))


def _main() -> None:
    if not os.environ.get(AMQP_VARIABLE):
        program = rabbitmq_program()
        erlang = program.ask("erl", "-noinput", "-eval", _ERLANG_RELEASE)
        version = program.folder.parent.name.removeprefix("rabbitmq_server-")
        print(f"RabbitMQ {version} on Erlang {erlang} ({program.origin})")
    if not os.environ.get(REDIS_VARIABLE):
        program = redis_program()
        version = program.ask("redis-server", "--version").split()[2].removeprefix("v=")
        print(f"Redis {version} ({program.origin})")


_ERLANG_RELEASE = 'io:format("~s~n", [erlang:system_info(otp_release)]), halt().'


if __name__ == "__main__":
    try:
        _main()
    except NotProvisioned as error:
        sys.exit(str(error))
