"""The shape of penstock.yaml; the shipped default file doubles as its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.nearness import did_you_mean
from schemas.routes import WILD, is_pattern

MIB = 1024 * 1024
MAX_DEADLINE_S = 7 * 86_400
# RabbitMQ takes messages of up to 16 MiB, and the body travels with its envelope's header.
MAX_BODY_BYTES = 15 * MIB

DEFAULT_TENANT = "default"
KEY_HASH = re.compile(r"sha256:[0-9a-f]{64}")
ENDPOINT = re.compile(r"/v1(/[a-z0-9][a-z0-9_-]*){1,4}")

# The type of the errors that name a value which is well formed but does not fit the others.
MISFIT = "misfit"

Name = Annotated[str, Field(min_length=1, max_length=200)]


def _one_wildcard(name: str) -> str:
    if name.count(WILD) > 1:
        raise ValueError(f"{name!r} has more than one `*`")
    return name


# A name in which one `*` may stand for any text.
Pattern = Annotated[Name, AfterValidator(_one_wildcard)]


class Section(BaseModel):
    """A part of the configuration: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, bool) and kind in (int, float, int | None):
            raise ValueError("must be a number")
        return value


def _misfit(at: tuple[str | int, ...], what: str) -> InitErrorDetails:
    """Return a mistake that only shows when the parts are seen together."""
    return {"type": PydanticCustomError(MISFIT, "{what}", {"what": what}), "loc": at, "input": None}


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
    max_queued: int = Field(1_000_000, ge=1, le=1_000_000_000)
    admin_key: str | None = Field(None, min_length=16, repr=False)
    cors_origins: list[str] = []
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
    """One backend that can serve a model, and the model's name there.

    For a model with a `*` the name may hold one too: the same text is filled in. Without a name
    the backend is asked for what the client asked for; an alias is replaced by its model.
    """

    backend: Name
    model: Pattern | None = None
    weight: float = Field(1, ge=0, le=1e6)


class RetryConfig(Section):
    """How often a request is called, over all replicas and returns, before it is dead-lettered."""

    max_attempts: int = Field(3, ge=1, le=100)


class ModelConfig(Section):
    """What clients ask for, and the targets that serve it."""

    targets: list[TargetConfig] = Field(min_length=1)
    retry: RetryConfig = RetryConfig()


class KeyConfig(Section):
    """An API key as the file keeps it: its name and its hash, never itself."""

    name: Name
    hash: str = Field(repr=False)

    @field_validator("hash")
    @classmethod
    def _is_hash(cls, text: str) -> str:
        if not KEY_HASH.fullmatch(text):
            raise ValueError("is not `sha256:` and 64 hex digits; `penstock keys new` makes one")
        return text


class TenantConfig(Section):
    """Who may ask for what: keys, the models they open (`*` is any text), and a cap."""

    keys: list[KeyConfig] = []
    models: list[Pattern]
    max_queued: int | None = Field(None, ge=1, le=1_000_000_000)


class Config(Section):
    """The whole file.

    `models: auto` serves every model that the backends list; a `*` in a model's name stands for
    any text. `aliases` are further names of models, `endpoints` further paths of the backends
    that are passed through.
    """

    server: ServerConfig = ServerConfig()
    backends: dict[Name, BackendConfig] = {}
    models: Literal["auto"] | dict[Pattern, ModelConfig] = "auto"
    aliases: dict[Name, Name] = {}
    endpoints: list[str] = []
    tenants: dict[Name, TenantConfig] = {}

    @field_validator("endpoints")
    @classmethod
    def _below_v1(cls, endpoints: list[str]) -> list[str]:
        for endpoint in endpoints:
            if not ENDPOINT.fullmatch(endpoint):
                raise ValueError(f"{endpoint!r} is not a path such as /v1/rerank")
        return endpoints

    @model_validator(mode="after")
    def _fits_together(self) -> Config:
        misfits = [*self._repeated_keys(), *self._wrong_aliases(), *self._wrong_targets()]
        if misfits:
            raise ValidationError.from_exception_data("Config", misfits)
        return self

    def _repeated_keys(self) -> Iterator[InitErrorDetails]:
        seen: dict[str, str] = {}
        for tenant, settings in self.tenants.items():
            for index, key in enumerate(settings.keys):
                owner = seen.setdefault(key.hash, f"{tenant}/{key.name}")
                if owner != f"{tenant}/{key.name}":
                    yield _misfit(("tenants", tenant, "keys", index), f"is the same key as {owner}")

    def _wrong_aliases(self) -> Iterator[InitErrorDetails]:
        for alias, model in self.aliases.items():
            if is_pattern(alias) or is_pattern(model):
                yield _misfit(("aliases", alias), f"of {model!r}: an alias has no `*`")
            elif model in self.aliases:
                yield _misfit(("aliases", alias), f"leads to {model!r}, which is an alias itself")
            elif self.models != "auto" and alias in self.models:
                yield _misfit(("aliases", alias), "is the name of a model")
            elif self.models != "auto" and model not in self.models:
                near = did_you_mean(model, list(self.models))
                yield _misfit(("aliases", alias), f"leads to {model!r}, which is no model{near}")

    def _wrong_targets(self) -> Iterator[InitErrorDetails]:
        if self.models == "auto":
            return
        for name, model in self.models.items():
            at = ("models", name, "targets")
            for index, target in enumerate(model.targets):
                if is_pattern(target.model or "") and not is_pattern(name):
                    what = f"{name!r} has no `*` that could be filled into {target.model!r}"
                    yield _misfit((*at, index, "model"), what)
                if target.backend in self.backends:
                    continue
                known = ", ".join(sorted(self.backends)) or "none"
                near = did_you_mean(target.backend, list(self.backends)) or f" (known: {known})"
                yield _misfit(
                    (*at, index, "backend"), f"there is no backend {target.backend!r}{near}"
                )
            if not any(target.weight > 0 for target in model.targets):
                yield _misfit(at, "none has a weight above 0")

    @property
    def has_keys(self) -> bool:
        """Whether callers must show a key."""
        return self.server.admin_key is not None or any(t.keys for t in self.tenants.values())
