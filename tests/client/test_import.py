"""What `import penstock` costs, in modules: time is another thing on each machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

# All of the standard library; measured as 140 with Python 3.11. The HTTP client is 150 more.
MOST_MODULES = 200
NOT_YET = {"aio_pika", "aiohttp", "anyio", "httpx2", "msgpack", "pydantic", "redis", "rich"}
COUNT = """
import sys
before = set(sys.modules)
import {module}
print(*set(sys.modules) - before)
"""


def _imported(module: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", COUNT.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["penstock", "penstock, penstock.webhooks"])
def test_importing_it_imports_little(module: str) -> None:
    imported = _imported(module)
    assert "penstock.client" in imported
    assert {name.partition(".")[0] for name in imported} & NOT_YET == set()
    assert len(imported) < MOST_MODULES
