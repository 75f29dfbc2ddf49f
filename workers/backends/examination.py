"""The examination of the backends: each URL answers, and knows the models it is to serve."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp

from broker.findings import Examined, Finding
from schemas.config import BackendConfig, Config
from workers.backends.openai import OpenAIBackend, open_session
from workers.backends.port import CallFailed

PART = "Backends"
ANSWER_S = 8.0
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class BackendReport:
    """`listed` are the names of all models that any backend lists."""

    findings: list[Finding]
    listed: frozenset[str]


async def examine(config: Config) -> BackendReport:
    """Ask every URL of every backend for its models, all at the same time."""
    if not config.backends:
        examined = Examined(PART)
        examined.warn(
            "backends",
            "none is configured, so no model is served",
            "add one to the file, or try `penstock serve --backend http://localhost:11434/v1`",
        )
        return BackendReport(examined.findings, frozenset())
    async with open_session() as session:
        asked = [
            _one(name, backend, url, _wanted(config, name), session)
            for name, backend in config.backends.items()
            for url in backend.urls
        ]
        reports = await asyncio.gather(*asked)
    return BackendReport(
        [finding for report in reports for finding in report.findings],
        frozenset().union(*(report.listed for report in reports)),
    )


def _wanted(config: Config, backend: str) -> list[str]:
    """Return the names that the configured models have on `backend`; patterns name none."""
    if config.models == "auto":
        return []
    names = [
        target.model or name
        for name, model in config.models.items()
        for target in model.targets
        if target.backend == backend
    ]
    return sorted({name for name in names if "*" not in name})


async def _one(
    name: str,
    backend: BackendConfig,
    url: str,
    wanted: list[str],
    session: aiohttp.ClientSession,
) -> BackendReport:
    examined = Examined(PART)
    try:
        async with asyncio.timeout(ANSWER_S):
            listed = await OpenAIBackend(backend, session).models(url)
    except TimeoutError:
        examined.fail(name, f"{url} did not answer within {ANSWER_S:g} s", "is it overloaded?")
    except CallFailed as failed:
        _tell_failure(examined, name, url, failed)
    else:
        _tell_models(examined, name, url, listed, wanted)
        return BackendReport(examined.findings, frozenset(listed))
    return BackendReport(examined.findings, frozenset())


def _tell_models(
    examined: Examined, name: str, url: str, listed: list[str], wanted: list[str]
) -> None:
    absent = [model for model in wanted if model not in listed]
    if absent:
        examined.warn(
            name,
            f"{url} does not list {', '.join(absent)}; it lists {_shortly(listed)}",
            "correct the target's `model`, or load the model there",
        )
    else:
        examined.ok(name, f"{url} lists {_shortly(listed)}")


def _shortly(names: list[str]) -> str:
    more = len(names) - _SHOWN
    shown = ", ".join(names[:_SHOWN]) or "no model"
    return f"{shown} and {more} more" if more > 0 else shown


def _tell_failure(examined: Examined, name: str, url: str, failed: CallFailed) -> None:
    status = failed.answer.status_code if failed.answer is not None else None
    if status in (401, 403):
        examined.fail(name, f"{url} refuses the API key ({status})", "correct `api_key`")
    elif status in (404, 405):
        examined.warn(
            name,
            f"{url} answers, but not at {url}/models ({status})",
            "does the URL end in /v1? A backend that lists no models cannot serve `models: auto`",
        )
    else:
        examined.fail(name, f"{url}: {_in_words(failed)}", "is it running, and is the URL right?")


def _in_words(failed: CallFailed) -> str:
    """Return what kept us from a connection, for an operator: also what a certificate lacks."""
    match failed.__cause__:
        case aiohttp.ClientConnectorCertificateError() as error:
            why = getattr(error.certificate_error, "verify_message", str(error.certificate_error))
            return f"{failed.message}: {why}"
    return failed.message
