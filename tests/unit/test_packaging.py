"""What is delivered: the wheel's contents, the import names' owners, the locks."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[2]
SDK = REPOSITORY / "clients" / "python"
LOCKS = ("app", "build", "demo", "dev", "models")
OURS = {"api", "broker", "cli", "schemas", "workers"}
MAX_CORE_PACKAGES = 48
# Each has a published hole below this version.
FLOORS = {"aiohttp": "3.14.4", "msgpack": "1.2.3", "orjson": "3.11.6", "starlette": "1.3.1"}
# What must never come along with the broker itself.
NEVER_IN_CORE = {"anthropic", "httpx", "litellm", "numpy", "openai", "torch", "transformers"}
_PINNED = re.compile(
    r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)(?: ; ([^\\]+))?", re.MULTILINE
)


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The paths in a wheel built from this tree."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("penstock_broker-*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_our_packages_and_nothing_else(wheel_names: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == OURS


def test_the_wheel_is_typed_and_has_the_command_and_the_licence(wheel_names: list[str]) -> None:
    assert {f"{name}/py.typed" for name in OURS} <= set(wheel_names)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel_names)
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_the_wheel_has_every_script_and_migration(wheel_names: list[str]) -> None:
    kept = [path for kind in ("lua", "sql") for path in REPOSITORY.glob(f"broker/**/*.{kind}")]
    assert kept
    assert {str(path.relative_to(REPOSITORY)) for path in kept} <= set(wheel_names)


def test_the_sdk_s_wheel_is_the_sdk_alone(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=SDK, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("penstock-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"penstock"}
    assert "penstock/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert (SDK / "LICENSE").read_bytes() == (REPOSITORY / "LICENSE").read_bytes()


def test_no_other_distribution_claims_our_import_names() -> None:
    """PyPI has a `broker` and a `workers`, which would shadow ours without a word."""
    owners = packages_distributions()
    foreign = {name: set(owners.get(name, ())) - {"penstock-broker"} for name in OURS}
    assert not any(foreign.values()), foreign


@pytest.mark.parametrize("lock", ["app", "dev", "demo"])
@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_no_lock_goes_below_a_version_with_a_known_hole(lock: str, name: str, floor: str) -> None:
    assert Version(_pins(lock)[name]) >= Version(floor)


def test_the_core_stays_small() -> None:
    pins = _pins("app")
    assert len(pins) <= MAX_CORE_PACKAGES
    assert not NEVER_IN_CORE & set(pins)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_index(name: str) -> None:
    text = _lock(name)
    hashed = re.findall(
        r"^[a-z0-9][^\n]*==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE
    )
    assert len(hashed) == len(_PINNED.findall(text))
    assert "://" not in text
    assert "--index-url" not in text


@pytest.mark.parametrize("name", ["dev", "demo"])
def test_every_lock_agrees_with_the_application_s(name: str) -> None:
    """They are installed into one environment, in either order."""
    app, other = _pins("app"), _pins(name)
    assert {package: other.get(package) for package in app} == app


def _lock(name: str) -> str:
    return (REPOSITORY / "requirements" / f"{name}.txt").read_text()


def _pins(name: str) -> dict[str, str]:
    """The packages that the lock gives to this interpreter."""
    found = _PINNED.findall(_lock(name))
    return {
        package: version
        for package, version, marker in found
        if not marker or Marker(marker.strip()).evaluate()
    }
