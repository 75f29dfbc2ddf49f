"""`penstock` as a child process, as a user or a script runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def penstock(
    *arguments: str,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """Run `penstock ARGUMENTS` to its end, by the command `before` if there is one."""
    return subprocess.run(
        [*before, sys.executable, "-m", "cli.main", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        check=False,
    )


def started(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start `penstock ARGUMENTS` with a pipe at each end."""
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
    )


def on_terminal(
    *arguments: str, typed: str = "", env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run `penstock ARGUMENTS` on a terminal with `typed` at its keyboard; code and screen."""
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "cli.main", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "200", **(env or {})},
    )
    os.close(theirs)
    os.write(ours, typed.encode())
    screen = b""
    while True:
        try:
            part = os.read(ours, 65_536)
        except OSError:  # the terminal's last user has closed it
            break
        if not part:
            break
        screen += part
    os.close(ours)
    return child.wait(60), screen.decode(errors="replace")
