"""The benchmark still runs and counts right; how fast anything is, no test says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rounds import CONTROL
from benchmarks.systems import EMBEDDED, FLOOR, REAL, REFERENCE
from tests.fakes.process import ROOT

REQUESTS = 300
TWO_PROCESSES = {"api", "worker", "rabbitmq", "redis"}


@pytest.mark.realservers
def test_every_system_completes_every_request_of_the_benchmark(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    arguments = ["--rounds", "1", "--rows", "1", "--requests", str(REQUESTS)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments, "--results", str(results)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert results.exists(), done.stdout + done.stderr
    told = json.loads(results.read_text())
    # With so few requests, the reference may stand anywhere beside the floor.
    assert done.returncode == (1 if told["void"] else 0), done.stdout + done.stderr
    assert ("VOID" in done.stdout) == bool(told["void"])
    (row,) = told["rows"]
    systems = row["systems"]
    assert {name: each["completed"] for name, each in systems.items()} == dict.fromkeys(
        (REAL, EMBEDDED, REFERENCE, FLOOR, CONTROL), REQUESTS
    )
    for name, each in systems.items():
        (run,) = each["rounds"]
        parts = {"serve"} if name == EMBEDDED else TWO_PROCESSES
        assert set(run["cpu_s"]) == set(run["pss_mib"]) == parts
        assert min(run["pss_mib"].values()) > 1
        assert each["per_s"] > 0
        assert 0 < each["added_p50_ms"] <= each["added_p99_ms"]
        assert f"│ {name} " in done.stdout
    assert len(told["aims"]) == 3
    assert told["versions"]["rabbitmq"]
    assert told["versions"]["redis"]
