"""The shape of penstock.yaml; the shipped default file doubles as its documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.batch_config import BatchesConfig, FilesConfig
from schemas.blob_config import BlobsConfig
from schemas.limits import AdaptiveConcurrency, Limits, Rates, SchedulingConfig
from schemas.nearness import did_you_mean
from schemas.routes import EVERY_MODEL, WILD, is_pattern
from schemas.section import Section
from schemas.webhook_config import WebhooksConfig

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


def _misfit(at: tuple[str | int, ...], what: str) -> InitErrorDetails:
    """Return a mistake that only shows when the parts are seen together."""
    return {"type": PydanticCustomError(MISFIT, "{what}", {"what": what}), "loc": at, "input": None}


class ServerConfig(Section):
    """Where the server listens, where it keeps its data, what it stands on."""

    host: str = Field(
        "127.0.0.1", description="address to listen on; one that others reach needs a key"
    )
    port: int = Field(8080, ge=1, le=65_535, description="port to listen on")
    data_dir: str = Field(
        "./penstock-data",
        description="the embedded engine keeps everything here; the other one only `blobs`",
    )
    amqp_url: str | None = Field(
        None, description="RabbitMQ; goes with `redis_url`, without both it is embedded"
    )
    redis_url: str | None = Field(None, description="Redis or Valkey; goes with `amqp_url`")
    namespace: str = Field(
        "penstock",
        pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$",
        description="prefix of every queue and key",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least that is logged"
    )
    max_body_bytes: int = Field(
        8 * MIB, ge=1024, le=MAX_BODY_BYTES, description="a larger request body is refused with 413"
    )
    default_timeout_s: float = Field(
        86_400,
        gt=0,
        le=MAX_DEADLINE_S,
        description="deadline of a request that names none; a held call has 600 s",
    )
    retention_s: float = Field(
        86_400,
        ge=60,
        le=90 * 86_400,
        description="how long a result can be read after the request has ended",
    )
    drain_s: float = Field(
        25, ge=0, le=3_600, description="on SIGTERM: time for running requests to finish"
    )
    max_queued: int = Field(
        1_000_000, ge=1, le=1_000_000_000, description="how many requests of one model may wait"
    )
    admin_key: str | None = Field(
        None,
        min_length=16,
        repr=False,
        description="opens /admin/v1, and every model as tenant `default`",
    )
    cors_origins: list[str] = Field([], description="origins whose web pages may call; `*` is any")
    max_connections: int = Field(
        10_000,
        ge=1,
        le=1_000_000,
        description="one more gets 503; also at most 3/4 of the files the process may open",
    )
    header_timeout_s: float = Field(
        10,
        gt=0,
        le=3_600,
        description="from connecting, or the first byte of a further request, to its headers' end",
    )
    body_timeout_s: float = Field(
        60,
        gt=0,
        le=3_600,
        description="for a body, and one second more for each KiB of it that has arrived",
    )
    keep_alive_s: float = Field(
        75, gt=0, le=3_600, description="how long a connection may stay open between two requests"
    )
    tls_cert: str | None = Field(
        None, description="PEM certificate with its chain: serve HTTPS; goes with `tls_key`"
    )
    tls_key: str | None = Field(None, description="PEM key of the certificate, without a password")

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


class BackendConfig(Rates):
    """A place that serves models: one URL is one replica."""

    kind: Literal["openai"] = Field(
        "openai", description="its protocol: vLLM, SGLang, TGI, llama.cpp, Ollama, most clouds"
    )
    urls: list[str] = Field(
        min_length=1, description="base URLs up to and with /v1; each is one replica"
    )
    api_key: str | None = Field(
        None, repr=False, description="sent to it as a bearer token; write `${NAME}`"
    )
    concurrency: Annotated[int, Field(ge=1, le=100_000)] | AdaptiveConcurrency = Field(
        8,
        description="calls in flight, exact over all worker processes; or `{min: 4, max: 256}`, "
        "found out for each replica",
    )
    timeout_s: float = Field(300, gt=0, le=86_400, description="one attempt")
    connect_timeout_s: float = Field(5, gt=0, le=300, description="to connect, within one attempt")
    max_answer_bytes: int = Field(
        8 * MIB, ge=1024, le=64 * MIB, description="a larger answer is cut and counts as invalid"
    )

    native_responses: bool = Field(
        False, description="it serves /v1/responses itself; else they are asked of it as chat"
    )

    @field_validator("urls")
    @classmethod
    def _http_only(cls, urls: list[str]) -> list[str]:
        for url in urls:
            if not url.startswith(("http://", "https://")):
                raise ValueError(f"{url!r} is not an http:// or https:// URL")
        return [url.rstrip("/") for url in urls]

    @property
    def slots(self) -> int:
        """The most calls in flight, over all replicas."""
        if isinstance(self.concurrency, AdaptiveConcurrency):
            return self.concurrency.max * len(self.urls)
        return self.concurrency


class TargetConfig(Section):
    """One backend that can serve a model, and the model's name there.

    For a model with a `*` the name may hold one too: the same text is filled in. Without a name
    the backend is asked for what the client asked for; an alias is replaced by its model.
    """

    backend: Name = Field(description="a name under `backends`")
    model: Pattern | None = Field(
        None, description="the model's name there; without one, the name that was asked for"
    )
    weight: float = Field(
        1, ge=0, le=1e6, description="its share among the targets; 0 sends it nothing"
    )


class RetryConfig(Section):
    """How often a request is called, over all replicas and returns, before it is dead-lettered."""

    max_attempts: int = Field(
        3, ge=1, le=100, description="calls of a request before it is dead-lettered"
    )


class ModelConfig(Limits):
    """What clients ask for, and the targets that serve it."""

    targets: list[TargetConfig] = Field(min_length=1, description="the backends that serve it")
    retry: RetryConfig = Field(RetryConfig(), description="what happens after a failed call")


class KeyConfig(Limits):
    """An API key as the file keeps it: its name and its hash, never itself."""

    name: Name = Field(description="tells the tenant's keys apart")
    hash: str = Field(
        repr=False, description="`sha256:` and 64 hex digits; `penstock keys new` makes one"
    )

    @field_validator("hash")
    @classmethod
    def _is_hash(cls, text: str) -> str:
        if not KEY_HASH.fullmatch(text):
            raise ValueError("is not `sha256:` and 64 hex digits; `penstock keys new` makes one")
        return text


class TenantConfig(Limits):
    """Who may ask for what: keys, the models they open (`*` is any text), and limits."""

    keys: list[KeyConfig] = Field([], description="its API keys; each opens the same")
    models: list[Pattern] = Field(description="what its keys open; `*` is any text")
    max_queued: int | None = Field(
        None, ge=1, le=1_000_000_000, description="its open requests; one more gets 429"
    )
    weight: float = Field(
        1, gt=0, le=1_000, description="its turns among the tenants that wait; 2 is twice as many"
    )


class Config(Section):
    """The whole file.

    `models: auto` serves every model that the backends list; a `*` in a model's name stands for
    any text. `aliases` are further names of models, `endpoints` further paths of the backends
    that are passed through.
    """

    server: ServerConfig = Field(
        ServerConfig(), description="where it listens, what it stands on, its limits"
    )
    backends: dict[Name, BackendConfig] = Field({}, description="places that serve models, by name")
    models: Literal["auto"] | dict[Pattern, ModelConfig] = Field(
        "auto", description="what clients ask for; `auto`: every model that the backends list"
    )
    aliases: dict[Name, Name] = Field({}, description="further names of models")
    endpoints: list[str] = Field(
        [], description="further paths of the backends that are passed through"
    )
    tenants: dict[Name, TenantConfig] = Field({}, description="who may ask for what")
    scheduling: SchedulingConfig = Field(
        SchedulingConfig(), description="what priorities below `high` are owed"
    )
    blobs: BlobsConfig = Field(
        BlobsConfig(), description="where files and large bodies and results are kept"
    )
    webhooks: WebhooksConfig = Field(
        WebhooksConfig(), description="where webhooks may go, and how often each is tried"
    )
    batches: BatchesConfig = Field(
        BatchesConfig(), description="how large a batch may be, and how it is run"
    )
    files: FilesConfig = Field(
        FilesConfig(), description="how large files may be, and how long they are kept"
    )

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

    def backends_of(self, model: str) -> frozenset[str]:
        """Return the backends that `model` may be sent to; all where the file does not say."""
        if self.models == "auto" or model not in self.models:
            return frozenset(self.backends)
        return frozenset(t.backend for t in self.models[model].targets if t.weight)

    def natively(self, model: str) -> bool:
        """Tell whether every backend that can serve `model` serves Responses itself."""
        backends = self.backends_of(model)
        return bool(backends) and all(self.backends[name].native_responses for name in backends)

    def opened_to(self, tenant: str) -> tuple[str, ...]:
        """Return the patterns of what a tenant's keys open; all to one that is not configured."""
        known = self.tenants.get(tenant)
        return EVERY_MODEL if known is None else tuple(known.models)

    @property
    def has_keys(self) -> bool:
        """Whether callers must show a key."""
        return self.server.admin_key is not None or any(t.keys for t in self.tenants.values())
