"""The section `blobs` of the configuration."""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator

from schemas.section import Section


class S3Config(Section):
    """A bucket of Amazon S3 or of anything that speaks its protocol."""

    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="its name; it must exist"
    )
    endpoint: str | None = Field(
        None, description="base URL of the service, such as http://minio:9000; without one, Amazon"
    )
    region: str = Field("us-east-1", min_length=1, description="the bucket's region")
    access_key: str | None = Field(
        None,
        min_length=1,
        description="goes with `secret_key`; without both: AWS_* variables, or the machine's role",
    )
    secret_key: str | None = Field(
        None, min_length=1, repr=False, description="goes with `access_key`; write `${NAME}`"
    )
    prefix: str = Field(
        "",
        pattern=r"^([A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)?$",
        description="folder within the bucket",
    )

    @field_validator("endpoint")
    @classmethod
    def _http_only(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ValueError(f"{endpoint!r} is not an http:// or https:// URL")
        return endpoint and endpoint.rstrip("/")

    @model_validator(mode="after")
    def _both_or_neither(self) -> S3Config:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("set access_key and secret_key together, or neither of them")
        return self


class BlobsConfig(Section):
    """Where files, and bodies and results over 256 KiB, are kept."""

    directory: str | None = Field(
        None,
        min_length=1,
        description="a directory that all processes share; without one, `blobs` in `data_dir`",
    )
    s3: S3Config | None = Field(None, description="a bucket instead of a directory")

    @model_validator(mode="after")
    def _one_place(self) -> BlobsConfig:
        if self.directory is not None and self.s3 is not None:
            raise ValueError("set directory or s3, not both")
        return self
