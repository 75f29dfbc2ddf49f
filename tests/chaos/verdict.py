"""What a round amounts to: the driver's account against the backend's ledger and the kills."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos.account import Account, Entry
from tests.chaos.strikes import Kill, kind_of

RUNNERS = ("worker", "serve")  # the kinds whose death drops the calls they make
# A call may reach the backend's loop a moment after the process that sent it was killed.
_SLACK_S = 0.5
POISON_LIMIT = 3

Call = dict[str, Any]
Calls = dict[str, list[Call]]


@dataclass
class Verdict:
    """A row of the table, and every broken promise in words."""

    row: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def fail(self, kind: str, cases: list[str]) -> int:
        """Note a kind of failure with its first cases; returns how many there are."""
        if cases:
            shown = "; ".join(cases[:5])
            self.failures.append(f"{kind} ({len(cases)}): {shown}")
        return len(cases)


def judge(account: Account, calls: list[Call], kills: list[Kill]) -> Verdict:
    """Hold the account against what the backend saw; `calls` are those of this round."""
    by_id: Calls = defaultdict(list)
    for call in sorted(calls, key=_started):
        by_id[call["id"]].append(call)
    verdict = Verdict()
    _count(verdict, account)
    _lost(verdict, account)
    _results(verdict, account, by_id)
    _statuses(verdict, account, by_id, kills)
    _repeats(verdict, account, by_id, kills)
    return verdict


def adopt(account: Account, calls: list[Call]) -> list[Entry]:
    """Give the entries whose client never got an answer the id under which they ran."""
    ran = {call["tag"]: call["id"] for call in calls}
    found = []
    for entry in account.entries:
        if entry.id is None and entry.tag in ran:
            entry.id, entry.recovered = ran[entry.tag], True
            found.append(entry)
    return found


def _count(verdict: Verdict, account: Account) -> None:
    entries = account.entries
    verdict.row = {
        "attempted": len(entries),
        "202": len(account.accepted_ids),
        "held": sum(entry.held and entry.accepted for entry in entries),
        "refused": sum(entry.refusal is not None for entry in entries),
        "dropped": sum(entry.dropped for entry in entries),
        "ok": sum(entry.status == "completed" for entry in entries),
        "recovered": sum(entry.recovered for entry in entries),
    }
    verdict.fail("answers no client should get", account.odd)


def _lost(verdict: Verdict, account: Account) -> None:
    known = [entry for entry in account.entries if entry.id]
    gone = [f"{entry.id} 404 x{entry.missing}" for entry in known if entry.missing]
    stuck = [f"{entry.id} is {entry.status}" for entry in known if not entry.terminal]
    stuck = [words for words in stuck if words.split()[0] not in {g.split()[0] for g in gone}]
    verdict.row["lost"] = verdict.fail("lost: 404", gone) + verdict.fail("lost: not ended", stuck)
    once = [f"{entry.id}" for entry in known if entry.terminal and entry.reads < 2]
    verdict.fail("read only once", once)


def _results(verdict: Verdict, account: Account, by_id: Calls) -> None:
    changed = [f"{e.id}: {e.changes[0]}" for e in account.entries if e.changes]
    verdict.row["changed"] = verdict.fail("results changed between two reads", changed)
    strange = []
    for entry in account.entries:
        if entry.status == "completed":
            nonces = [call["nonce"] for call in by_id[str(entry.id)]]
            if entry.nonce not in nonces:
                strange.append(f"{entry.id}: no such call")
            elif entry.told_nonce not in (None, entry.nonce):
                strange.append(f"{entry.id}: the held call was told another result")
    tags = {entry.tag for entry in account.entries}
    strange += [f"{c['id']}: tag {c['tag']!r}" for c in _all(by_id) if c["tag"] not in tags]
    strange += [
        f"{entry.id}: ran after its client was told not_accepted"
        for entry in account.entries
        if entry.recovered and entry.refusal == "not_accepted"
    ]
    verdict.row["unexpected"] = verdict.fail("unexpected", strange)


def _statuses(verdict: Verdict, account: Account, by_id: Calls, kills: list[Kill]) -> None:
    wrong = []
    for entry in account.entries:
        if not entry.terminal or entry.status == "completed":
            continue
        if entry.status == "cancelled" and entry.held and _door_died(entry, kills):
            continue
        deaths = _deaths(by_id[str(entry.id)], kills)
        if entry.error_code == "poisoned" and deaths >= POISON_LIMIT:
            continue
        kind = "held" if entry.held else "posted"
        wrong.append(f"{entry.id} ({kind}) {entry.status}/{entry.error_code}, {deaths} deaths")
    verdict.fail("ended as it should not", wrong)
    ends = Counter(
        f"{entry.status}/{entry.error_code}"
        for entry in account.entries
        if entry.terminal and entry.status != "completed"
    )
    verdict.row["others"] = " ".join(f"{name}:{count}" for name, count in ends.items()) or "-"


def _repeats(verdict: Verdict, account: Account, by_id: Calls, kills: list[Kill]) -> None:
    ids_of_tag = defaultdict(set)
    for call in _all(by_id):
        ids_of_tag[call["tag"]].add(call["id"])
    double = [f"{tag}: {sorted(ids)}" for tag, ids in ids_of_tag.items() if len(ids) > 1]
    double += _told_twice(account)
    verdict.row["duplicated"] = verdict.fail("one submit, two requests", double)
    extra, by_server, unexplained = 0, 0, []
    for request_id, calls in by_id.items():
        for earlier, later in pairwise(calls):
            extra += 1
            reasons = _kills_between(earlier["start"], later["start"], kills)
            by_server += bool(reasons) and not any(kind_of(k.role) in RUNNERS for k in reasons)
            if not reasons:
                gap = later["start"] - earlier["start"]
                unexplained.append(f"{request_id}: again after {gap:.2f} s")
    verdict.row["extra calls"] = extra
    # Not wrong by the letter, but a worker that lives through a server's restart should adopt.
    verdict.row["by servers"] = by_server
    verdict.fail("called again although nothing was killed", unexplained)


def _told_twice(account: Account) -> list[str]:
    ids = Counter(entry.id for entry in account.entries if entry.id)
    return [f"{request_id} given to {n} requests" for request_id, n in ids.items() if n > 1]


def _door_died(entry: Entry, kills: list[Kill]) -> bool:
    doors = {f"api-{entry.door}", "serve"}
    return any(kill.role in doors and kill.healed >= entry.sent for kill in kills)


def _deaths(calls: list[Call], kills: list[Kill]) -> int:
    """Return at how many deaths of a runner a call of this request was open and dropped."""
    return sum(
        any(call["aborted"] and _open_at(call, kill.at) for call in calls)
        for kill in kills
        if kind_of(kill.role) in RUNNERS
    )


def _open_at(call: Call, instant: float) -> bool:
    end = call["end"]
    return bool(call["start"] <= instant + _SLACK_S and (end is None or end >= instant))


def _kills_between(start: float, end: float, kills: list[Kill]) -> list[Kill]:
    return [kill for kill in kills if start - _SLACK_S <= kill.at <= end]


def _all(by_id: Calls) -> list[Call]:
    return [call for calls in by_id.values() for call in calls]


def recoveries(calls: list[Call], kills: list[Kill]) -> dict[str, list[float]]:
    """Return by kind the seconds from each heal to the first call answered that began after it."""
    answered = sorted(
        (call["start"], call["end"]) for call in calls if call["end"] and call["status"] == 200
    )
    seconds: dict[str, list[float]] = defaultdict(list)
    for kill in kills:
        ends = [end for start, end in answered if start >= kill.healed]
        if ends:
            seconds[kind_of(kill.role)].append(min(ends) - kill.healed)
    return seconds


def take_overs(calls: list[Call], kills: list[Kill]) -> list[float]:
    """Return for each dropped call that was repeated the seconds from the kill to the repeat."""
    by_id: Calls = defaultdict(list)
    for call in calls:
        by_id[call["id"]].append(call)
    waits = []
    for calls_of_one in by_id.values():
        ordered = sorted(calls_of_one, key=_started)
        for earlier, later in pairwise(ordered):
            at = [k.at for k in kills if kind_of(k.role) in RUNNERS and _open_at(earlier, k.at)]
            if earlier["aborted"] and at:
                waits.append(later["start"] - max(at))
    return waits


def _started(call: Call) -> float:
    return float(call["start"])
