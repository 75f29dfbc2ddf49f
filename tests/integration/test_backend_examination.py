"""`doctor` on real backends over HTTP: what they list, and in words why they do not answer."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

from aiohttp import web

from broker.findings import Verdict
from schemas.config import Config
from tests.fakes.backend import Backend
from tests.fakes.findings import bad, one
from tests.servers.ports import reserve
from workers.backends.examination import BackendReport, examine


async def seen(*urls: str, models: Any = "auto", **backend: Any) -> BackendReport:
    """Return what is found of one backend, `b`."""
    backends = {"b": {"urls": list(urls), **backend}} if urls else {}
    return await examine(Config.model_validate({"backends": backends, "models": models}))


async def test_a_backend_that_lists_its_models_is_well() -> None:
    async with Backend(models=("one", "two")) as backend:
        report = await seen(backend.url)
    assert bad(report.findings) == {}
    assert report.listed == {"one", "two"}


async def test_a_model_that_the_backend_does_not_know_is_a_warning() -> None:
    targets = [{"backend": "b", "model": "three"}]
    async with Backend(models=("one",)) as backend:
        report = await seen(backend.url, models={"m": {"targets": targets}})
    assert "does not list three; it lists one" in bad(report.findings)["b"]
    assert one(report.findings, "b").verdict is Verdict.WARNING


async def test_a_pattern_names_no_model_of_a_backend() -> None:
    models = {"a-*": {"targets": [{"backend": "b"}]}}
    async with Backend(models=("one",)) as backend:
        assert bad((await seen(backend.url, models=models)).findings) == {}


async def test_every_replica_is_asked() -> None:
    async with Backend(models=("one",)) as backend:
        report = await seen(backend.url, f"http://127.0.0.1:{reserve()}/v1")
    assert [each.verdict for each in report.findings] == [Verdict.OK, Verdict.FAILED]
    assert "no connection: Connection refused" in report.findings[1].text


async def test_no_backend_at_all_is_a_warning() -> None:
    assert "no model is served" in bad((await seen()).findings)["backends"]


async def test_a_refused_key_and_an_odd_path_are_told_apart() -> None:
    async def answer(request: web.Request) -> web.Response:
        wrong = request.headers.get("Authorization") == "Bearer wrong-key"
        return web.json_response({}, status=401 if wrong else 404)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    refused = one((await seen(url, api_key="wrong-key")).findings, "b")
    elsewhere = one((await seen(url)).findings, "b")
    await runner.cleanup()
    assert (refused.verdict, "refuses the API key" in refused.text) == (Verdict.FAILED, True)
    assert (elsewhere.verdict, "/v1" in elsewhere.advice) == (Verdict.WARNING, True)


async def test_tls_errors_are_in_words(tmp_path: Path) -> None:
    context = _self_signed(tmp_path)
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    port = runner.addresses[0][1]
    untrusted = one((await seen(f"https://127.0.0.1:{port}/v1")).findings, "b")
    await runner.cleanup()
    async with Backend() as plain:
        no_tls = one((await seen(plain.url.replace("http:", "https:"))).findings, "b")
    assert "TLS certificate is not trusted: self" in untrusted.text
    assert "speaks no TLS" in no_tls.text


def _self_signed(folder: Path) -> ssl.SSLContext:
    names = ["-subj", "/CN=localhost", "-keyout", str(folder / "key"), "-out", str(folder / "crt")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *names],
        capture_output=True,
        check=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    return context
