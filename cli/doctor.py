"""`penstock doctor`: has every part examined, hides secrets, prints what was found."""

from __future__ import annotations

import asyncio
import os
import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import orjson
from rich.console import Console

from broker import config_examination, living
from broker.blobs import examination as blob_examination
from broker.config import load_config
from broker.findings import Finding, Verdict
from broker.guarantee import Guarantee, promised
from broker.masking import masked, secrets_of
from cli import running_server
from cli.diagnosis import Diagnosis, show
from cli.logs import configure_logs
from cli.management import examine as examine_management
from cli.running_server import Place
from schemas.config import Config, ServerConfig
from workers.backends import examination as backend_examination


def run(config_file: Path | None, management_url: str | None, *, as_json: bool) -> int:
    """Examine, print, and return the exit code. Raises ConfigError."""
    config = load_config(config_file, os.environ)
    configure_logs("error")
    diagnosis = _masked(asyncio.run(diagnose(config, config_file, management_url)), config)
    if as_json:
        text = orjson.dumps(diagnosis.as_dict(), option=orjson.OPT_INDENT_2).decode()
        sys.stdout.write(text + "\n")
    else:
        show(diagnosis, Console(highlight=False))
    return 1 if diagnosis.failed else 0


async def diagnose(
    config: Config, config_file: Path | None, management_url: str | None
) -> Diagnosis:
    """Have every part examined that the configuration names."""
    backends = await backend_examination.examine(config)
    models = served_models(config, backends.listed)
    examine_engine = _embedded if config.server.embedded else _real
    engine, guarantee = await examine_engine(config, models, management_url)
    running = await running_server.examine(_place(config), models)
    return Diagnosis(
        [
            *config_examination.examine(config, config_file, len(models)),
            *backends.findings,
            *engine,
            *await blob_examination.examine(config),
            *running,
        ],
        guarantee,
    )


def served_models(config: Config, listed: frozenset[str]) -> list[str]:
    """Return the models that are to be served; a pattern stands for what the backends list."""
    if config.models == "auto":
        return sorted(listed)
    plain = {name for name in config.models if "*" not in name}
    patterns = [name for name in config.models if "*" in name]
    matching = {name for name in listed if any(fnmatchcase(name, each) for each in patterns)}
    return sorted(plain | matching)


async def _embedded(
    config: Config, _models: list[str], _management_url: str | None
) -> tuple[list[Finding], Guarantee | None]:
    from broker.embedded.examination import examine

    findings = await examine(Path(config.server.data_dir))
    failed = any(each.verdict is Verdict.FAILED for each in findings)
    return findings, None if failed else promised([])


async def _real(
    config: Config, models: list[str], management_url: str | None
) -> tuple[list[Finding], Guarantee | None]:
    from broker.amqp.examination import examine as examine_rabbitmq
    from broker.redis_store.examination import examine as examine_redis

    server = config.server
    longest = max((backend.timeout_s for backend in config.backends.values()), default=0)
    amqp_url, redis_url = server.amqp_url or "", server.redis_url or ""
    rabbitmq, redis = await asyncio.gather(
        examine_rabbitmq(amqp_url, server.namespace, models, longest, server.max_body_bytes),
        examine_redis(redis_url, server.namespace),
    )
    if management_url is not None:
        rabbitmq += await examine_management(management_url, amqp_url, server.namespace)
    processes = living.judge(redis.living, models) if redis.settings else []
    guarantee = promised(redis.settings) if redis.settings else None
    return [*rabbitmq, *redis.findings, *processes], guarantee


def _place(config: Config) -> Place:
    """Return where a server should answer. Only our own address is shown the admin key."""
    key = os.environ.get("PENSTOCK_API_KEY")
    if url := os.environ.get("PENSTOCK_URL"):
        return Place(url.rstrip("/").removesuffix("/v1"), key, named=True)
    return Place(_listen_url(config.server), key or config.server.admin_key, named=False)


def _listen_url(server: ServerConfig) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)  # noqa: S104  because it is looked for, not listened on
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port}"


def _masked(diagnosis: Diagnosis, config: Config) -> Diagnosis:
    secrets = secrets_of(config)
    return replace(
        diagnosis,
        findings=[
            replace(each, text=masked(each.text, secrets), advice=masked(each.advice, secrets))
            for each in diagnosis.findings
        ],
    )
