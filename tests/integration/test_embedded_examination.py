"""`doctor` on a real data directory: free, in use, damaged, from another version."""

from __future__ import annotations

import os
from pathlib import Path

import apsw
import pytest

from broker.embedded.examination import _library, examine
from broker.embedded.file_system import holder_of, kind_at
from broker.findings import Examined, Verdict
from tests.fakes.findings import bad, one
from tests.integration.embedded import running


async def test_a_directory_that_is_not_there_yet_is_well_and_not_made(tmp_path: Path) -> None:
    findings = await examine(tmp_path / "data")
    assert "will be made" in one(findings, "directory").text
    assert not (tmp_path / "data").exists()


async def test_a_directory_in_use_names_the_process(tmp_path: Path) -> None:
    async with running(tmp_path):
        findings = await examine(tmp_path)
    assert f"process {os.getpid()}" in one(findings, "in use").text
    assert "file" not in [each.check for each in findings]


async def test_a_server_starts_while_it_is_examined_and_after(tmp_path: Path) -> None:
    async with running(tmp_path) as engine:
        await examine(tmp_path)
        assert await engine.health() == {"store": None, "blobs": None}
    await examine(tmp_path)
    async with running(tmp_path) as engine:
        assert await engine.health() == {"store": None, "blobs": None}


async def test_a_free_file_is_checked_and_left_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    before = (tmp_path / "penstock.db").read_bytes()
    findings = await examine(tmp_path)
    assert "without fault" in one(findings, "file").text
    assert (tmp_path / "penstock.db").read_bytes() == before


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    path = tmp_path / "penstock.db"
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\x55" * 4096 * 2
    path.write_bytes(content)
    found = one(await examine(tmp_path), "file")
    assert found.verdict is Verdict.FAILED


async def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "penstock.db").write_bytes(b"not a database" * 1000)
    assert "cannot be read" in one(await examine(tmp_path), "file").text


async def test_another_versions_file_is_told(tmp_path: Path) -> None:
    file = apsw.Connection(str(tmp_path / "penstock.db"))
    file.pragma("user_version", 99)
    file.close()
    assert "schema 99" in one(await examine(tmp_path), "file").text


async def test_a_path_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    assert "not a directory" in bad(await examine(tmp_path / "data"))["directory"]


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("3.6.23", Verdict.OK),
        ("3.40.1", Verdict.FAILED),
        ("3.51.2", Verdict.FAILED),
        ("3.51.3", Verdict.OK),
    ],
)
def test_a_library_that_corrupts_is_refused(version: str, verdict: Verdict) -> None:
    examined = Examined("store")
    _library(examined, version)
    assert [each.verdict for each in examined.findings] == [verdict]


def test_the_deepest_mount_decides_the_kind(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "1 0 0:1 / / rw - ext4 /dev/a rw\n"
        f"2 1 0:2 / {tmp_path} rw shared:1 - nfs4 server:/x rw\n"
        "3 1 0:3 / /other rw - xfs /dev/b rw\n"
    )
    assert kind_at(tmp_path / "data", mounts) == "nfs4"
    assert kind_at(Path("/elsewhere"), mounts) == "ext4"
    assert kind_at(tmp_path, tmp_path / "none") is None


def test_nobody_holds_a_lock_that_nobody_took(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    assert holder_of(tmp_path / "lock") is None
    assert holder_of(tmp_path / "none") is None
