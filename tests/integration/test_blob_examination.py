"""`doctor` on the place of blobs: usable, not yet there, not usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.blobs.examination import examine
from broker.findings import Finding, Verdict
from schemas.blob_config import BlobsConfig, S3Config
from schemas.config import Config, ServerConfig

REAL = {"amqp_url": "amqp://localhost", "redis_url": "redis://localhost"}


def told(findings: list[Finding]) -> dict[str, Verdict]:
    return {each.check: each.verdict for each in findings}


def config(data_dir: Path, parts: dict[str, str], s3: S3Config | None = None) -> Config:
    return Config(
        server=ServerConfig.model_validate({"data_dir": str(data_dir), **parts}),
        blobs=BlobsConfig(s3=s3),
    )


async def test_a_directory_is_tried_out_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    found = await examine(config(tmp_path, {}))
    assert told(found) == {"usable": Verdict.OK, "free space": Verdict.OK}
    assert not list((tmp_path / "blobs" / "kept").iterdir())


async def test_a_directory_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert told(await examine(config(tmp_path / "data", {}))) == {"usable": Verdict.OK}
    assert not (tmp_path / "data").exists()


async def test_several_processes_must_share_the_directory(tmp_path: Path) -> None:
    found = await examine(config(tmp_path, REAL))
    assert told(found) == {"usable": Verdict.OK, "shared": Verdict.NOTE}


async def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("")
    (found,) = await examine(config(tmp_path, {}))
    assert found.verdict is Verdict.FAILED
    assert "blobs.directory" in found.advice


@pytest.mark.realservers
async def test_a_bucket_is_tried_out(tmp_path: Path, s3: S3Config) -> None:
    assert told(await examine(config(tmp_path, REAL, s3))) == {"usable": Verdict.OK}


@pytest.mark.realservers
async def test_a_wrong_key_is_told(tmp_path: Path, s3: S3Config) -> None:
    wrong = s3.model_copy(update={"secret_key": "not-the-secret"})
    (found,) = await examine(config(tmp_path, REAL, wrong))
    assert found.verdict is Verdict.FAILED
    assert "the secret key is wrong" in found.text
    assert "not-the-secret" not in found.text
