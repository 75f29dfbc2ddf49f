"""Looking into what an examination found."""

from __future__ import annotations

from collections.abc import Iterable

from broker.findings import Finding, Verdict


def one(findings: Iterable[Finding], check: str) -> Finding:
    """Return the only finding of `check`."""
    (found,) = [each for each in findings if each.check == check]
    return found


def bad(findings: Iterable[Finding]) -> dict[str, str]:
    """Return the text of each check that failed or warns."""
    worrying = (Verdict.WARNING, Verdict.FAILED)
    return {each.check: each.text for each in findings if each.verdict in worrying}
