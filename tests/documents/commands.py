"""Running a block of commands or of Python as its reader would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.documents.blocks import Block
from tests.documents.served import finish
from tests.documents.stage import Stage

_LIMIT_S = 45
_PROMPT = "$ "
_TELL = "trap 'echo \"failed: $BASH_COMMAND\" >&2' ERR"
# What a reader types once for all blocks of a page.
_KEPT = re.compile(r"^export \w+=.*$", re.MULTILINE)
_VARIES = (
    (re.compile(r"req_[0-9a-f]{34}|req_…"), "req_…"),
    (re.compile(r"(we|wh)_(?:[0-9a-f]{32}|…)"), r"\1_…"),
    (re.compile(r"whsec_(?:[\w+/=]{38,}|…\S*)"), "whsec_…"),
    (re.compile(r"psk_[\w-]{43}|psk_…"), "psk_…"),
    (re.compile(r"sha256:(?:[0-9a-f]{64}|…)"), "sha256:…"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://…"),
    (re.compile(r"\becho [0-9a-f]{16}\b"), "…"),
    (re.compile(r"\d+(?:\.\d+)?"), "0"),
    (re.compile(r"[ ─━]+"), " "),
)


class Player:
    """Plays the blocks of one page, one after the other, in one folder."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage = stage
        self.folder = folder
        self._kept: list[str] = []

    def run(self, block: Block) -> None:
        """Run a block; what it starts is ended with it."""
        try:
            if block.language == "python":
                self._python(block)
            elif block.language == "console":
                self._console(block)
            else:
                self._shell(block, self.stage.real(block))
        finally:
            finish(self.folder)

    def _python(self, block: Block) -> None:
        script = self.folder / ".block.py"
        script.write_text(self.stage.real(block))
        self._call([sys.executable, "-W", "error", script.name], block)

    def _console(self, block: Block) -> None:
        """Run each command and compare what it prints, but for what is never twice the same."""
        session = self.stage.real(block)
        for part in re.split(rf"^{re.escape(_PROMPT)}", session, flags=re.MULTILINE)[1:]:
            command, said = _command_and_output(part)
            printed = self._shell(block, command)
            wanted = [re.escape(line).replace("…", ".*") for line in _steady(said)]
            found = "\n".join(_steady(printed))
            assert re.fullmatch("\n".join(wanted), found), f"{block.place}: {command}{printed}"

    def _shell(self, block: Block, commands: str) -> str:
        told = [] if "fails" in block.notes else [_TELL]
        script = self.folder / ".block.sh"
        script.write_text("\n".join(["set -euo pipefail", *told, *self._kept, commands]))
        printed = self._call(["bash", script.name], block)
        self._kept += _KEPT.findall(commands)
        return printed

    def _call(self, argv: list[str], block: Block) -> str:
        with subprocess.Popen(
            argv,
            cwd=self.folder,
            env=self.stage.environment(block),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                out, error = process.communicate(timeout=_LIMIT_S)
            except subprocess.TimeoutExpired:
                # With what it started: a command that hangs must not outlive the test.
                os.killpg(process.pid, signal.SIGKILL)
                raise
        told = f"{block.place}\n{block.text}\n{out}\n{error}"
        assert (process.returncode == 0) != ("fails" in block.notes), told
        return out + error if "fails" in block.notes else out


def _command_and_output(part: str) -> tuple[str, str]:
    lines = part.splitlines(keepends=True)
    end = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\\n"))
    return "".join(lines[:end]), "".join(lines[end:])


def _steady(text: str) -> list[str]:
    for pattern, word in _VARIES:
        text = pattern.sub(word, text)
    return [line.strip() for line in text.splitlines() if line.strip()]
