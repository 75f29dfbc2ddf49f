"""The fenced blocks of a Markdown page, and what the comments right above them say.

`<!-- not run: REASON -->` leaves a block alone, `<!-- file: NAME -->` writes it to a file for the
blocks after it, `<!-- with keys -->` gives it the server that asks for keys, and `<!-- fails -->`
says that the commands end with an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUN = ("sh", "console", "python")
CHECKED = ("yaml", "json", "jsonl")
SHOWN = ("text",)

_FENCE = re.compile(r"^( *)```(\S*)\s*$")
_COMMENT = re.compile(r"^ *<!-- (not run|file|with keys|fails)(?:: (.+?))? -->$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `notes` are the comments above it."""

    page: str
    line: int
    language: str
    text: str
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where it stands, for a message."""
        return f"{self.page}:{self.line}"

    @property
    def with_keys(self) -> bool:
        """Whether it is meant for a server that asks for keys."""
        return "with keys" in self.notes or bool(re.search(r"psk_|\$PENSTOCK_\w+_KEY", self.text))

    def treatment(self) -> str:
        """Return `run`, `checked`, `shown`, `not run: …`, or what is wrong with it."""
        if "not run" in self.notes:
            return f"not run: {self.notes['not run'] or 'NO REASON'}"
        for treatment, languages in (("run", RUN), ("checked", CHECKED), ("shown", SHOWN)):
            if self.language in languages:
                return treatment
        if not self.language and self.page == "README.md":
            return "shown"
        return f"wrong: a block of {self.language or 'no language'} and no reason not to run it"


def pages() -> list[str]:
    """Return every page, by its path from the root."""
    readmes = [ROOT / "README.md", ROOT / "clients" / "python" / "README.md"]
    found = [*readmes, *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(path.relative_to(ROOT)) for path in found]


def blocks_of(page: str) -> Iterator[Block]:
    """Return the blocks of a page in their order."""
    lines = (ROOT / page).read_text("utf-8").splitlines()
    notes: dict[str, str] = {}
    at = 0
    while at < len(lines):
        line = lines[at]
        if comment := _COMMENT.match(line):
            notes[comment[1]] = comment[2] or ""
        elif fence := _FENCE.match(line):
            indent, begin = len(fence[1]), at
            at += 1
            while lines[at].strip() != "```":
                at += 1
            text = "\n".join(each[indent:] for each in lines[begin + 1 : at]) + "\n"
            yield Block(page, begin + 1, fence[2], text, notes)
            notes = {}
        elif line.strip():
            notes = {}
        at += 1
