"""`penstock` within a block: a server runs in the background to the block's end."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

from tests.servers.ports import reserve

_SERVERS = ("serve", "api", "worker")
# In the block's folder: a file a server, named by its process id, with its port.
FOLDER = ".served"
_READY_S = 30.0


def main() -> int:
    """Run a verb in the place of this process, or start a server and return once it answers."""
    arguments = sys.argv[1:]
    # Only what shows a refusal names an address of its own.
    if not arguments or arguments[0] not in _SERVERS or {"--help", "--host"} & {*arguments}:
        os.execv(sys.executable, [sys.executable, "-m", "cli.main", *arguments])
    port = 0 if arguments[0] == "worker" else reserve()
    # The last of several options counts; the documents' own port may be taken here.
    ours = ["--host", "127.0.0.1", "--port", str(port)] if port else []
    folder = Path(FOLDER)
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "cli.main", *arguments, *ours],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (folder / str(process.pid)).write_text(str(port))
    path = "/ready" if arguments[0] == "serve" else "/live"
    if port and not wait_for(port, path):
        print((folder / "log").read_text(), file=sys.stderr)
        return 1
    return 0


def wait_for(port: int, path: str) -> bool:
    """Tell whether `path` answers 200 in time."""
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        with (
            suppress(OSError, http.client.HTTPException),
            closing(http.client.HTTPConnection("127.0.0.1", port, timeout=2)) as connection,
        ):
            connection.request("GET", path)
            with connection.getresponse() as answer:
                if answer.status == 200:
                    return True
        time.sleep(0.05)
    return False


def finish(folder: Path) -> None:
    """Assert that every server started from `folder` is ready, and end it by SIGTERM."""
    pids = [path for path in folder.glob(f"{FOLDER}/*") if path.name.isdigit()]
    log = folder / FOLDER / "log"
    try:
        for path in pids:
            port = int(path.read_text())
            assert not port or wait_for(port, "/ready"), log.read_text()
    finally:
        for path in pids:
            os.kill(int(path.name), signal.SIGTERM)
        for path in pids:
            _await_end(int(path.name))
            path.unlink()
    if pids:
        told = log.read_text()
        assert told.count("stopped") >= len(pids), told
        assert "Traceback" not in told, told


def _await_end(pid: int) -> None:
    until = time.monotonic() + 30
    while _runs(pid):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


if __name__ == "__main__":
    sys.exit(main())
