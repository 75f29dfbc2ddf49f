"""Choosing the place of blobs: a directory, or a bucket."""

from __future__ import annotations

from pathlib import Path

from broker.blobs.directory import DirectoryBlobs
from broker.ports import Blobs
from schemas.blob_config import BlobsConfig
from schemas.errors import ConfigError


def open_blobs(config: BlobsConfig, data_dir: str | Path) -> Blobs:
    """Return the place that the configuration names, not yet started. Raises ConfigError."""
    if config.s3 is None:
        return DirectoryBlobs(config.directory or default_directory(data_dir))
    try:
        from broker.blobs.s3 import S3Blobs
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`blobs.s3` needs the package {error.name}, which is not installed: "
            'pip install "obstore>=0.12"'
        ) from error
    return S3Blobs(config.s3)


def default_directory(data_dir: str | Path) -> Path:
    """Return where blobs lie as long as nothing is configured."""
    return Path(data_dir) / "blobs"
