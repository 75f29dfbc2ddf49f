"""What an examination of a part finds: plain data that a command can print or a program read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """How a check came out; the later, the worse. A note says what could not be looked at."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one part: what was found, and what to do about it."""

    part: str
    check: str
    verdict: Verdict
    text: str
    advice: str = ""


class Examined:
    """Collects the findings of one part, in the order they are made."""

    def __init__(self, part: str) -> None:
        self.part = part
        self.findings: list[Finding] = []

    def ok(self, check: str, text: str) -> None:
        """Note that a check is well."""
        self._add(check, Verdict.OK, text, "")

    def note(self, check: str, text: str, advice: str = "") -> None:
        """Note what could not be looked at, or is only worth knowing."""
        self._add(check, Verdict.NOTE, text, advice)

    def warn(self, check: str, text: str, advice: str) -> None:
        """Note what works now and will hurt."""
        self._add(check, Verdict.WARNING, text, advice)

    def fail(self, check: str, text: str, advice: str) -> None:
        """Note what does not work."""
        self._add(check, Verdict.FAILED, text, advice)

    def _add(self, check: str, verdict: Verdict, text: str, advice: str) -> None:
        self.findings.append(Finding(self.part, check, verdict, text, advice))
