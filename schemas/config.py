"""The shape of penstock.yaml; the shipped default file doubles as its documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MIB = 1024 * 1024
MAX_DEADLINE_S = 7 * 86_400
# RabbitMQ takes messages of up to 16 MiB, and the body travels with its envelope's header.
MAX_BODY_BYTES = 15 * MIB

Name = Annotated[str, Field(min_length=1, max_length=200)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerConfig(Section):
    """Where the server listens, where it keeps its data, what it stands on."""

    host: str = "127.0.0.1"
    port: int = Field(8080, ge=1, le=65_535)
    data_dir: str = "./penstock-data"
    amqp_url: str | None = None
    redis_url: str | None = None
    namespace: str = Field("penstock", pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_body_bytes: int = Field(8 * MIB, ge=1024, le=MAX_BODY_BYTES)
    default_timeout_s: float = Field(86_400, gt=0, le=MAX_DEADLINE_S)
    retention_s: float = Field(86_400, ge=60, le=90 * 86_400)
    drain_s: float = Field(25, ge=0, le=3_600)
    max_connections: int = Field(10_000, ge=1, le=1_000_000)
    header_timeout_s: float = Field(10, gt=0, le=3_600)
    body_timeout_s: float = Field(60, gt=0, le=3_600)
    keep_alive_s: float = Field(75, gt=0, le=3_600)
    tls_cert: str | None = None
    tls_key: str | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> ServerConfig:
        if bool(self.amqp_url) != bool(self.redis_url):
            raise ValueError("set amqp_url and redis_url together, or neither of them (embedded)")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("set tls_cert and tls_key together, or neither of them (plain HTTP)")
        return self

    @property
    def embedded(self) -> bool:
        """Whether one process on one data directory does everything."""
        return self.amqp_url is None


class BackendConfig(Section):
    """A place that serves models: one URL is one replica."""

    kind: Literal["openai"] = "openai"
    urls: list[str] = Field(min_length=1)
    api_key: str | None = Field(None, repr=False)
    concurrency: int = Field(8, ge=1, le=100_000)
    timeout_s: float = Field(300, gt=0, le=86_400)
    connect_timeout_s: float = Field(5, gt=0, le=300)
    max_answer_bytes: int = Field(8 * MIB, ge=1024, le=64 * MIB)

    @field_validator("urls")
    @classmethod
    def _http_only(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is not an http:// or https:// URL")
        return [url.rstrip("/") for url in urls]


class TargetConfig(Section):
    """One backend that can serve a model, and the model's name there."""

    backend: Name
    model: Name | None = None
    weight: float = Field(1, ge=0, le=1e6)


class RetryConfig(Section):
    """How often a request is called, over all replicas and returns, before it is dead-lettered."""

    max_attempts: int = Field(3, ge=1, le=100)


class ModelConfig(Section):
    """What clients ask for, and the targets that serve it."""

    targets: list[TargetConfig] = Field(min_length=1)
    retry: RetryConfig = RetryConfig()


class Config(Section):
    """The whole file. `models: auto` serves every model that the backends list."""

    server: ServerConfig = ServerConfig()
    backends: dict[Name, BackendConfig] = {}
    models: Literal["auto"] | dict[Name, ModelConfig] = "auto"

    @model_validator(mode="after")
    def _targets_exist(self) -> Config:
        if self.models == "auto":
            return self
        for name, model in self.models.items():
            for target in model.targets:
                if target.backend not in self.backends:
                    known = ", ".join(sorted(self.backends)) or "none"
                    raise ValueError(
                        f"model {name!r} has a target on backend {target.backend!r}, "
                        f"which is not configured (known: {known})"
                    )
            if not any(target.weight > 0 for target in model.targets):
                raise ValueError(f"model {name!r} has no target with a weight above 0")
        return self
