"""How many connections the doors may hold, by the files that the process may open."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from api.wire import Limits
from cli.descriptors import most_connections
from schemas.config import ServerConfig

RAISED = """
import resource
from cli.descriptors import raise_descriptor_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 400))
print(raise_descriptor_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RAISED], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["400", "400", "400"]


@pytest.mark.parametrize(("descriptors", "most"), [(1_024, 768), (20_000, 15_000), (1, 1)])
def test_a_quarter_of_the_files_is_kept_for_all_else(descriptors: int, most: int) -> None:
    assert most_connections(descriptors) == most


def test_the_lower_of_the_two_limits_holds() -> None:
    server = ServerConfig(max_connections=5_000)
    assert Limits.of(server, most_connections(1_024)).connections == 768
    assert Limits.of(server, most_connections(resource.RLIM_INFINITY)).connections == 5_000
