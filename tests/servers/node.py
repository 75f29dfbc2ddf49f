"""What the tests use of Node: its pinned packages, installed once into .tools/node."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from tests.servers.provision import NotProvisioned

_REPOSITORY = Path(__file__).resolve().parents[2]
_PINNED = _REPOSITORY / "tests" / "clients" / "node"
_TOOLS = (_REPOSITORY / ".tools" / "node").resolve()
_FILES = ("package.json", "package-lock.json")
_INSTALL_S = 300.0


@cache
def node_modules() -> Path:
    """Return the folder of the packages, fetched by their lock's hashes if they are not there.

    Raises NotProvisioned.
    """
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            raise NotProvisioned(f"{program} is not here; install Node 18 or newer with npm.")
    _TOOLS.mkdir(parents=True, exist_ok=True)
    with (_TOOLS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready, pinned = _TOOLS / "ready", _fingerprint()
        if not ready.exists() or ready.read_text() != pinned:
            for name in _FILES:
                shutil.copyfile(_PINNED / name, _TOOLS / name)
            _install()
            ready.write_text(pinned)
    return _TOOLS / "node_modules"


def _main() -> None:
    found = node_modules()
    print(f"Node packages: {', '.join(sorted(each.name for each in found.glob('[a-z]*')))}")


def _fingerprint() -> str:
    """Return what changes with the pinned versions, and with the place."""
    digest = hashlib.sha256(str(_TOOLS).encode())
    for name in _FILES:
        digest.update((_PINNED / name).read_bytes())
    return digest.hexdigest()


def _install() -> None:
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=_TOOLS,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_INSTALL_S,
        check=False,
    )
    if done.returncode:
        raise NotProvisioned(f"npm ci failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    try:
        _main()
    except NotProvisioned as error:
        sys.exit(str(error))
