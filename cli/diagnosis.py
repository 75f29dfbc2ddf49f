"""What `penstock doctor` found, and how it is printed: on a terminal, into a pipe, as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from broker.findings import Finding, Verdict
from broker.guarantee import Guarantee

_STYLES = {
    Verdict.OK: "green",
    Verdict.NOTE: "cyan",
    Verdict.WARNING: "yellow",
    Verdict.FAILED: "bold red",
}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, and the row that holds; None when the parts did not say enough."""

    findings: list[Finding]
    guarantee: Guarantee | None

    @property
    def failed(self) -> bool:
        """Whether something does not work."""
        return any(each.verdict is Verdict.FAILED for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain data."""
        return {
            "ok": not self.failed,
            "findings": [{**asdict(each), "verdict": each.verdict.value} for each in self.findings],
            "guarantee": None if self.guarantee is None else asdict(self.guarantee),
        }


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print the findings by part, what is promised, and the sum."""
    for part, findings in groupby(diagnosis.findings, key=lambda each: each.part):
        if console.is_terminal:
            console.print(Text(f"\n{part}", style="bold"))
            console.print(_table(list(findings)))
        else:
            for each in findings:
                console.print(_line(each), soft_wrap=True)
    console.print(Text("\nPromised", style="bold") if console.is_terminal else Text())
    console.print(_promise(diagnosis.guarantee), soft_wrap=not console.is_terminal)
    console.print(_sum(diagnosis))


def _table(findings: list[Finding]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=9)
    table.add_column(width=16)
    table.add_column(ratio=1, overflow="fold")
    for each in findings:
        said = Text(each.text)
        if each.advice:
            said.append(f"\n→ {each.advice}", style="dim" if each.verdict is Verdict.NOTE else "")
        verdict = Text(f"  {each.verdict.value}", style=_STYLES[each.verdict])
        table.add_row(verdict, Text(each.check, overflow="fold"), said)
    return table


def _line(finding: Finding) -> Text:
    advice = f" -> {finding.advice}" if finding.advice else ""
    return Text(
        f"{finding.verdict.value:<8} {finding.part}: {finding.check}: {finding.text}{advice}"
    )


def _promise(guarantee: Guarantee | None) -> Text:
    if guarantee is None:
        return Text("Not known: a part that decides it could not be read.")
    return Text.assemble(
        f"{guarantee.settings}: ",
        (guarantee.promised, _STYLES[Verdict.FAILED if guarantee.refused else Verdict.OK]),
    )


def _sum(diagnosis: Diagnosis) -> Text:
    count = Counter(each.verdict for each in diagnosis.findings)
    said = [
        f"{count[Verdict.OK]} ok",
        _counted(count[Verdict.NOTE], "note"),
        _counted(count[Verdict.WARNING], "warning"),
        f"{count[Verdict.FAILED]} failed",
    ]
    return Text(
        f"\n{', '.join(said)}", style=_STYLES[Verdict.FAILED] if diagnosis.failed else "bold"
    )


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
