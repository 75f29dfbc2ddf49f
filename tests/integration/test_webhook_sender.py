"""One attempt: what is hostile opens no socket, what answers badly is bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trustme
from standardwebhooks import Webhook, WebhookVerificationError

from broker.ports import SigningSecret
from schemas.destinations import AllowList
from schemas.webhooks import secret_of
from tests.fakes import hostile_urls
from tests.fakes.receiver import Receiver
from workers.webhooks.guard import AddressInfo, open_socket
from workers.webhooks.sender import Answer, Sender, tls_context
from workers.webhooks.signing import signed_headers

TLS = tls_context()
BODY = b'{"id":"evt_1"}'
LOOPBACK = AllowList(["127.0.0.1"])


class Sockets:
    """Counts the sockets that are opened; tells which name led where."""

    def __init__(self, **names: str) -> None:
        self.opened: list[AddressInfo] = []
        self.names = {name.replace("_", "."): found.split() for name, found in names.items()}
        self.asked: list[str] = []

    def open(self, info: AddressInfo) -> socket.socket:
        self.opened.append(info)
        return open_socket(info)

    async def look_up(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self.names:
            raise OSError("no such name")
        return self.names[host]

    async def send(self, url: str, allowed: AllowList = LOOPBACK, timeout_s: float = 5.0) -> Answer:
        sender = Sender(TLS, self.look_up, self.open)
        return await sender.send(url, BODY, {}, allowed, timeout_s)


@pytest.mark.parametrize("url", hostile_urls.EVERY)
async def test_a_hostile_url_opens_no_socket_and_asks_no_resolver(url: str) -> None:
    sockets = Sockets()
    answer = await sockets.send(url, AllowList(["127.0.0.1:1", "hooks.inner"]))
    assert answer.status_code is None
    assert "not allowed" in (answer.message or "")
    assert (sockets.opened, sockets.asked) == ([], [])


@pytest.mark.parametrize(
    "found",
    [
        "10.0.0.1",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fe80::1%lo",
        "169.254.169.254",
        "1.1.1.1 ::1",  # a public A, a private AAAA
        "1.1.1.1 10.0.0.1",  # two A, one private
        "10.0.0.1 1.1.1.1",
        "nonsense",
    ],
)
async def test_a_public_name_that_leads_inside_opens_no_socket(found: str) -> None:
    sockets = Sockets(hooks_example_com=found)
    answer = await sockets.send("https://hooks.example.com/", AllowList())
    assert answer.message == "its host leads to an address that webhooks may not reach"
    assert sockets.asked == ["hooks.example.com"]
    assert sockets.opened == []


async def test_a_name_that_leads_elsewhere_at_the_next_attempt_gains_nothing() -> None:
    async with Receiver() as receiver:
        sockets = Sockets(hooks_example_com="127.0.0.1")
        url = f"http://hooks.example.com:{receiver.port}/"
        allowed = AllowList([f"hooks.example.com:{receiver.port}"])
        assert (await sockets.send(url, allowed)).status_code == 200
        # Rebound, and not allowed by name any more: the connection of before is not used again.
        assert (await sockets.send(url, AllowList())).status_code is None
        assert len(sockets.opened) == len(receiver.got) == 1


async def test_the_positive_control_is_delivered() -> None:
    async with Receiver() as receiver:
        sockets = Sockets()
        answer = await sockets.send(
            f"{receiver.url}/x?y=%20z", AllowList([f"127.0.0.1:{receiver.port}"])
        )
    assert answer == Answer(200, None)
    (got,) = receiver.got
    assert (got.path, got.body, len(sockets.opened)) == ("/x", BODY, 1)
    assert got.headers["content-type"] == "application/json"
    assert "authorization" not in got.headers


async def test_a_real_name_is_looked_up_and_refused_by_its_address() -> None:
    """The system's own resolver: `localhost` needs no network."""
    opened = Sockets()
    sender = Sender(TLS, sockets=opened.open)
    async with Receiver() as receiver:
        by_name = AllowList([f"localhost:{receiver.port}"])
        url = f"http://localhost:{receiver.port}/"
        assert (await sender.send(url, BODY, {}, by_name, 5)).status_code == 200
        assert (await sender.send(url, BODY, {}, LOOPBACK, 5)).status_code is None
    assert len(receiver.got) == 1


async def test_a_redirect_is_not_followed() -> None:
    async with Receiver() as receiver:
        receiver.headers["Location"] = f"{receiver.url}/elsewhere"
        answer = await Sockets().send(f"{receiver.url}/status/307")
        assert (answer.status_code, answer.delivered) == (307, False)
        assert len(receiver.got) == 1


async def test_proxies_of_the_environment_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Receiver() as receiver, Receiver() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await Sockets().send(f"{receiver.url}/")).status_code == 200
        assert (len(receiver.got), proxy.got) == (1, [])


async def test_a_silent_receiver_is_given_up_in_time() -> None:
    async with Receiver() as receiver:
        answer = await Sockets().send(f"{receiver.url}/silent", timeout_s=0.3)
    assert answer == Answer(None, "no answer within 0.3 s")


async def test_a_silent_name_server_is_given_up_in_time() -> None:
    async def never(_host: str) -> list[str]:
        await asyncio.sleep(60)
        return []

    answer = await Sender(TLS, never).send("https://hooks.example.com/", BODY, {}, AllowList(), 0.3)
    assert answer == Answer(None, "no answer within 0.3 s")


async def test_retry_after_is_told_and_words_are_cut() -> None:
    async with Receiver() as receiver:
        receiver.headers["Retry-After"] = "7200"
        answer = await Sockets().send(f"{receiver.url}/status/503")
    assert answer == Answer(503, "it answered 503: said so", 7200.0)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw(serve: Serve, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Answer each connection with bytes of the test's choice."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}/"
    finally:
        server.close()


def saying(*parts: bytes, times: int = 1, pause_s: float = 0.0) -> Serve:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(parts[0])
        for _ in range(times):
            for part in parts[1:]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)

    return serve


OK = b"HTTP/1.1 200 OK\r\n"
BAD = b"HTTP/1.1 500 No\r\n"
MIB = b"x" * 1024 * 1024


async def test_a_drip_holds_its_place_for_seconds_only() -> None:
    endless = saying(OK + b"Content-Length: 100000\r\n\r\n", b"x", times=1_000, pause_s=0.05)
    async with raw(endless) as url:
        assert (await Sockets().send(url, timeout_s=10)).status_code == 200


async def test_dripping_headers_are_no_answer() -> None:
    endless = saying(OK, b"a: b\r\n", times=1_000, pause_s=0.05)
    async with raw(endless) as url:
        assert (await Sockets().send(url, timeout_s=0.5)).status_code is None


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (saying(BAD + b"Content-Length: 104857600\r\n\r\n", MIB, times=100), 500),
        (
            saying(
                BAD + b"Content-Encoding: gzip\r\nContent-Length: 9\r\n\r\n", b"\x1f\x8b\x08......"
            ),
            500,
        ),
        (saying(OK + b"X-Flood: a\r\n" * 10_000 + b"\r\n"), None),
        (saying(OK + b"X-Long: " + MIB + b"\r\n\r\n"), None),
        (saying(OK + b"X: y\r\n", MIB, times=100), None),
        (
            saying(
                b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\n" * 100, times=2_000
            ),
            None,
        ),
        (saying(b"no HTTP at all\r\n\r\n"), None),
        (saying(b"HTTP/1.1 999999 \r\n\r\n"), None),
        (saying(b""), None),
        (saying(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), None),
    ],
    ids=[
        "100 MB",
        "encoded",
        "flood",
        "long",
        "endless",
        "1xx",
        "junk",
        "status",
        "hangs up",
        "chunks",
    ],
)
async def test_a_bad_answer_is_bounded(answer: Serve, status: int | None) -> None:
    tracemalloc.start()
    try:
        async with raw(answer) as url:
            told = await Sockets().send(url, timeout_s=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert told.status_code == status
    assert len(told.message or "") < 1_200
    assert peak < 16 * 1024 * 1024


async def test_told_text_can_be_shown() -> None:
    text = b"\x1b[31mred\x00\xff\r\n" + b"a" * 5_000
    head = BAD + f"Content-Length: {len(text)}\r\n\r\n".encode()
    async with raw(saying(head, text)) as url:
        told = (await Sockets().send(url)).message or ""
    assert told.isprintable()
    assert len(told) < 1_100


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("name", ["self-signed", "wrong name", "old TLS", "wants a certificate"])
async def test_tls_is_verified(name: str) -> None:
    ours, theirs = trustme.CA(), trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = theirs if name == "self-signed" else ours
    host = "hooks.example.com" if name == "wrong name" else "127.0.0.1"
    issuer.issue_cert(host).configure_cert(server)
    if name == "old TLS":
        server.minimum_version = ssl.TLSVersion.TLSv1
        server.maximum_version = ssl.TLSVersion.TLSv1_1
    if name == "wants a certificate":
        server.verify_mode = ssl.CERT_REQUIRED
        theirs.configure_trust(server)
    client = tls_context()
    ours.configure_trust(client)
    async with Receiver(tls=server) as receiver:
        sender = Sender(client)
        told = await sender.send(f"{receiver.url}/", BODY, {}, LOOPBACK, 5)
        assert told.status_code is None
        assert told.message
        assert receiver.got == []


async def test_tls_with_a_known_authority_is_delivered() -> None:
    authority, server, client = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), tls_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with Receiver(tls=server) as receiver:
        assert (await Sender(client).send(f"{receiver.url}/", BODY, {}, LOOPBACK, 5)).delivered


def test_every_valid_secret_signs_and_a_foreign_one_does_not() -> None:
    new, old, lapsed, foreign = (secret_of(bytes([n]) * 24) for n in range(4))
    secrets = [SigningSecret(new), SigningSecret(old, 1e12), SigningSecret(lapsed, 1.0)]
    headers = signed_headers("wh_1", BODY, secrets, time.time())
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (new, old):
        assert Webhook(secret).verify(BODY, headers) == {"id": "evt_1"}
    for secret in (lapsed, foreign):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(new).verify(BODY + b" ", headers)
