"""HTTPS with the operator's certificate, and a sentence when the certificate cannot be used."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from cli.tls import tls_context
from schemas.config import ServerConfig
from tests.e2e.penstock import penstock
from tests.e2e.wire import open_wire, read_to_end
from tests.fakes.process import Process
from tests.servers.ports import reserve

HEADER_S = 1.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def folder(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate for localhost, its key, and what does not fit them."""
    folder = tmp_path_factory.mktemp("tls")
    shown, other = authority.issue_cert("localhost"), authority.issue_cert("localhost")
    shown.private_key_pem.write_to_path(folder / "server.key")
    for blob in shown.cert_chain_pems:
        blob.write_to_path(folder / "server.pem", append=True)
    other.private_key_pem.write_to_path(folder / "other.key")
    (folder / "text.pem").write_text("not a certificate")
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A real `penstock serve` that serves HTTPS."""
    port = reserve()
    config = folder / "penstock.yaml"
    config.write_text(json.dumps({"server": {"header_timeout_s": HEADER_S}}))
    arguments = ["--config", str(config), "--port", str(port), "--data-dir", str(folder / "data")]
    tls = ["--tls-cert", str(folder / "server.pem"), "--tls-key", str(folder / "server.key")]
    process = Process("serve", "cli.main", ["serve", *arguments, *tls], folder / "serve.log")
    process.start()
    try:
        until = time.monotonic() + 30
        while f"https://127.0.0.1:{port}" not in process.text():
            assert process.alive, process.text()
            assert time.monotonic() < until, process.text()
            time.sleep(0.05)
        yield port
        assert process.alive
        assert not process.tracebacks(), process.text()
    finally:
        process.kill()


def _live(port: int, trusting: ssl.SSLContext) -> int:
    connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=trusting)
    with closing(connection):
        connection.request("GET", "/live")
        return connection.getresponse().status


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_a_client_that_trusts_the_authority_is_served(port: int, authority: trustme.CA) -> None:
    assert _live(port, _trusting(authority)) == 200


def test_a_client_that_does_not_trust_it_is_not(port: int) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _live(port, ssl.create_default_context())


def test_nothing_older_than_tls_1_2_is_spoken(folder: Path) -> None:
    context = tls_context(
        ServerConfig(tls_cert=str(folder / "server.pem"), tls_key=str(folder / "server.key"))
    )
    assert context is not None
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_plain_http_there_harms_nobody(port: int, authority: trustme.CA) -> None:
    with closing(open_wire(f"http://localhost:{port}")) as wire:
        wire.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" not in read_to_end(wire)
    assert _live(port, _trusting(authority)) == 200


def test_a_handshake_that_does_not_go_on_is_ended(port: int, authority: trustme.CA) -> None:
    with closing(open_wire(f"http://localhost:{port}", timeout_s=8)) as wire:
        assert read_to_end(wire) == b""
    assert _live(port, _trusting(authority)) == 200


def test_an_idle_connection_is_ended_though_its_client_says_no_goodbye(
    port: int, authority: trustme.CA
) -> None:
    with (
        socket.create_connection(("localhost", port), timeout=8) as plain,
        _trusting(authority).wrap_socket(plain, server_hostname="localhost") as wire,
    ):
        assert wire.recv(100) == b""


@pytest.mark.parametrize(
    ("cert", "key", "told"),
    [
        ("none.pem", "server.key", "tls_cert: cannot read"),
        ("server.pem", "none.key", "tls_key: cannot read"),
        ("text.pem", "server.key", "cannot be used"),
        ("server.pem", "other.key", "the key does not fit the certificate"),
        ("server.pem", None, "set tls_cert and tls_key together"),
        (None, "server.key", "set tls_cert and tls_key together"),
    ],
)
def test_files_that_cannot_be_used_are_told_before_anything_starts(
    folder: Path, tmp_path: Path, cert: str | None, key: str | None, told: str
) -> None:
    data = tmp_path / "data"
    arguments = ["serve", "--port", str(reserve()), "--data-dir", str(data)]
    arguments += ["--tls-cert", str(folder / cert)] if cert else []
    arguments += ["--tls-key", str(folder / key)] if key else []
    done = penstock(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("penstock: ")
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not data.exists()


def test_a_key_with_a_password_is_refused_without_asking_for_it(
    folder: Path, tmp_path: Path
) -> None:
    plain = serialization.load_pem_private_key((folder / "server.key").read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        plain.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    servers = {
        "PENSTOCK_AMQP_URL": "amqp://127.0.0.1:1/",
        "PENSTOCK_REDIS_URL": "redis://127.0.0.1:1/",
    }
    shown = str(folder / "server.pem")
    done = penstock("api", "--tls-cert", shown, "--tls-key", str(locked), env=servers)
    assert done.returncode == 2
    assert "the key without a password" in done.stderr
