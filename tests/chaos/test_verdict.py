"""The drill's judge finds each broken promise, and lets pass what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.account import Account, Entry
from tests.chaos.strikes import Kill
from tests.chaos.verdict import Verdict, adopt, judge

WORKER_KILL = Kill("worker-0", at=10.0, healed=11.0, in_flight=300)
API_KILL = Kill("api-0", at=10.0, healed=11.0, in_flight=300)


def _seen(status: str, nonce: str = "n1", code: str | None = None) -> dict[str, Any]:
    response = {"status_code": 200, "body": {"system_fingerprint": nonce}}
    return {
        "status": status,
        "response": response if status == "completed" else None,
        "error": {"code": code} if code else None,
        "usage": None,
    }


def _call(start: float, end: float | None, **fields: Any) -> dict[str, Any]:
    call = {"id": "r1", "tag": "t-0", "nonce": "n1", "aborted": False, "status": 200}
    return {**call, "start": start, "end": end, **fields}


def _entry(account: Account, *reads: dict[str, Any], held: bool = False) -> Entry:
    entry = account.new(held=held, door=0, priority="normal", sent=8.0)
    account.accept(entry, f"r{len(account.entries)}")
    for seen in reads:
        entry.read(seen)
    return entry


def _failures(verdict: Verdict) -> str:
    return "\n".join(verdict.failures)


def test_a_clean_round_passes() -> None:
    account = Account("t")
    _entry(account, _seen("queued"), _seen("completed"), _seen("completed"))
    verdict = judge(account, [_call(8.1, 8.5)], [WORKER_KILL])
    assert not verdict.failures
    assert (verdict.row["ok"], verdict.row["lost"], verdict.row["extra calls"]) == (1, 0, 0)


@pytest.mark.parametrize(
    ("reads", "words"),
    [
        ([_seen("queued")], "lost: not ended"),
        ([_seen("completed"), _seen("completed", "n2")], "results changed"),
        ([_seen("completed"), _seen("failed", code="x")], "results changed"),
        ([_seen("completed", "n9"), _seen("completed", "n9")], "unexpected"),
        ([_seen("cancelled", code="cancelled")] * 2, "ended as it should not"),
        ([_seen("failed", code="copy_lost")] * 2, "ended as it should not"),
        ([_seen("failed", code="poisoned")] * 2, "ended as it should not"),
    ],
)
def test_a_broken_promise_is_found(reads: list[dict[str, Any]], words: str) -> None:
    account = Account("t")
    _entry(account, *reads)
    assert words in _failures(judge(account, [_call(8.1, 8.5)], [API_KILL]))


def test_an_id_that_is_not_found_is_lost() -> None:
    account = Account("t")
    _entry(account).missing = 1
    assert "lost: 404" in _failures(judge(account, [], []))


def test_a_held_call_may_be_cancelled_with_its_api() -> None:
    account = Account("t")
    _entry(account, *[_seen("cancelled", code="cancelled")] * 2, held=True)
    assert not judge(account, [], [API_KILL]).failures


def test_a_second_call_needs_a_kill_between_the_two() -> None:
    account = Account("t")
    _entry(account, *[_seen("completed", "n2")] * 2)
    calls = [_call(9.8, 10.1, aborted=True), _call(18.0, 18.5, nonce="n2")]
    assert not judge(account, calls, [WORKER_KILL]).failures
    assert "nothing was killed" in _failures(judge(account, calls, []))


def test_poisoned_is_allowed_after_three_deaths() -> None:
    account = Account("t")
    _entry(account, *[_seen("failed", code="poisoned")] * 2)
    calls = [_call(at - 0.1, at + 0.01, aborted=True) for at in (10.0, 20.0, 30.0)]
    kills = [Kill("worker-0", at, at + 1, 300) for at in (10.0, 20.0, 30.0)]
    assert not judge(account, calls, kills).failures
    assert judge(account, calls[:2], kills[:2]).failures


def test_a_request_whose_client_was_never_answered_is_found_by_its_tag() -> None:
    account = Account("t")
    entry = account.new(held=False, door=0, priority="normal", sent=8.0)
    entry.dropped = True
    assert adopt(account, [_call(8.1, 8.5)]) == [entry]
    assert (entry.id, entry.recovered) == ("r1", True)


def test_one_submit_that_ran_as_two_requests_is_found() -> None:
    account = Account("t")
    _entry(account, *[_seen("completed")] * 2)
    calls = [_call(8.1, 8.5), _call(8.2, 8.6, id="r7")]
    assert "two requests" in _failures(judge(account, calls, []))
