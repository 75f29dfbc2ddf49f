"""The bucket of blobs: what it says when it cannot be used, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from broker.blobs.opening import open_blobs
from broker.blobs.s3 import S3Blobs
from schemas.blob_config import BlobsConfig, S3Config
from schemas.errors import BlobsUnavailable, ConfigError
from tests.servers.s3 import S3Server, bucket_at

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server of these tests' own, that may be ended."""
    own = S3Server(tmp_path_factory.mktemp("s3"))
    own.start()
    yield own
    own.stop()


@pytest.fixture
def config(server: S3Server) -> S3Config:
    return bucket_at(server.url)


async def first_of(blobs: S3Blobs, key: str) -> bytes:
    return await anext(blobs.read(key))


@pytest.mark.realservers
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"secret_key": "not-the-secret"}, "the secret key is wrong"),
        ({"access_key": "nobody"}, "the access key is unknown"),
        ({"bucket": "no-such-bucket"}, "there is no such bucket"),
    ],
)
async def test_what_is_configured_wrong_is_told(
    config: S3Config, wrong: dict[str, str], said: str
) -> None:
    """And is never taken for a blob that is missing."""
    blobs = S3Blobs(config.model_copy(update=wrong))
    await blobs.start()
    assert said in (await blobs.health() or "")
    with pytest.raises(BlobsUnavailable, match=said):
        await blobs.put("a", b"x")
    with pytest.raises(BlobsUnavailable):
        await first_of(blobs, "a")
    with pytest.raises(BlobsUnavailable):
        await blobs.size("a")
    await blobs.stop()


@pytest.mark.realservers
async def test_a_server_that_is_away_is_told_and_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.blobs.s3._LOOK_EVERY_S", 0)
    server = S3Server(tmp_path)
    server.start()
    blobs = S3Blobs(bucket_at(server.url))
    await blobs.put("a", b"x")
    server.kill()
    assert server.url in (await blobs.health() or "")
    with pytest.raises(BlobsUnavailable, match=server.url):
        await blobs.put("b", b"x")
    with pytest.raises(BlobsUnavailable, match=server.url):
        await first_of(blobs, "a")
    server.start()
    assert await blobs.health() is None
    assert await first_of(blobs, "a") == b"x"
    await blobs.stop()
    server.stop()


async def endless(breaks_after: int | None, reached: asyncio.Event) -> AsyncIterator[bytes]:
    """Yield MiBs; then break, or never go on."""
    for _ in range(breaks_after or 17):
        yield bytes(MIB)
    reached.set()
    if breaks_after:
        raise LookupError("the client went away")
    await asyncio.Event().wait()


@pytest.mark.realservers
@pytest.mark.parametrize("breaks_after", [17, None])
async def test_no_parts_stay_behind(
    config: S3Config, server: S3Server, breaks_after: int | None
) -> None:
    """Neither of an upload whose source breaks, nor of one that is cancelled."""
    blobs = S3Blobs(config)
    reached = asyncio.Event()
    putting = asyncio.create_task(blobs.put("a", endless(breaks_after, reached)))
    await reached.wait()
    if breaks_after is None:
        putting.cancel()
    await asyncio.wait({putting})
    assert putting.cancelled() or isinstance(putting.exception(), LookupError)
    await blobs.stop()
    assert server.uploads == []
    assert await blobs.size("a") is None


def test_without_the_client_the_line_to_type_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "broker.blobs.s3", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)
    config = BlobsConfig(s3=S3Config(bucket="penstock"))
    with pytest.raises(ConfigError, match=r'pip install "obstore>=0\.12"'):
        open_blobs(config, tmp_path)
