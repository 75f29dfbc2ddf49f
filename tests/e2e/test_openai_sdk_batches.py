"""Files and batches with the unmodified OpenAI SDK, from the upload to the lines of the output."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import openai
import pytest
from openai.types import Batch

from tests.fakes.stack import Setup, Stack, serving
from tests.fakes.uploads import jsonl, line

MODELS = ("echo", "slow-5", "slow-60000", "status-400")
ENDED = ("completed", "failed", "expired", "cancelled")
WITHIN_S = 60
UNKNOWN = "00" + "0" * 32


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("sdk-batches"), setup, MODELS) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{stack.url}/v1", api_key="anything", max_retries=0) as client:
        yield client


def begin(client: openai.OpenAI, lines: Iterable[object], window: str = "24h") -> Batch:
    file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window=window,  # type: ignore[arg-type]  # because it passes any text on
    )


def ended(client: openai.OpenAI, batch: Batch) -> Batch:
    until = time.monotonic() + WITHIN_S
    while batch.status not in ENDED:
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    return batch


def test_a_file_from_its_upload_to_its_end(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(jsonl([line("1")]))
    made = client.files.create(
        file=path, purpose="batch", expires_after={"anchor": "created_at", "seconds": 3_600}
    )
    assert (made.object, made.status, made.purpose) == ("file", "processed", "batch")
    assert (made.filename, made.bytes) == ("in.jsonl", path.stat().st_size)
    assert made.expires_at is not None
    assert made.expires_at - made.created_at in (3_600, 3_601)
    # Without a pause: it would loop for half an hour over a file that is never processed.
    assert client.files.wait_for_processing(made.id, poll_interval=60) == made
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).content == path.read_bytes()
    with client.files.with_streaming_response.content(made.id) as answer:
        assert b"".join(answer.iter_bytes(16)) == path.read_bytes()
    gone = client.files.delete(made.id)
    assert (gone.id, gone.deleted) == (made.id, True)
    with pytest.raises(openai.NotFoundError) as refused:
        client.files.retrieve(made.id)
    assert refused.value.code == "file_not_found"


def test_a_stream_of_unknown_length_is_uploaded(client: openai.OpenAI) -> None:
    made = client.files.create(file=io.BytesIO(b"x" * 300_000), purpose="user_data")
    assert made.bytes == 300_000


def test_lists_are_paged_by_the_sdk(client: openai.OpenAI) -> None:
    made = [client.files.create(file=b"x", purpose="evals").id for _ in range(5)]
    pages = client.files.list(purpose="evals", limit=2, order="asc")
    assert [each.id for each in pages] == made
    batches = [begin(client, [line("1")]).id for _ in range(3)]
    found = [each.id for each in client.batches.list(limit=2)]
    assert [each for each in found if each in batches] == batches[::-1]
    assert client.batches.list(limit=2).has_more


def test_a_batch_from_its_creation_to_the_lines_of_its_output(client: openai.OpenAI) -> None:
    lines = [line(f"good-{n}") for n in range(12)]
    lines += [line(f"bad-{n}", "status-400") for n in range(3)]
    file = client.files.create(file=("in.jsonl", jsonl(lines)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id,
        endpoint="/v1/chat/completions",
        completion_window="24h",
        metadata={"job": "nightly"},
        output_expires_after={"anchor": "created_at", "seconds": 86_400},
    )
    assert (made.object, made.status, made.errors) == ("batch", "validating", None)
    assert (made.metadata, made.completion_window) == ({"job": "nightly"}, "24h")
    assert made.expires_at is not None
    assert made.expires_at - made.created_at in (86_400, 86_401)
    assert made.request_counts is not None
    assert made.request_counts.total == 0
    batch = ended(client, made)
    counts = batch.request_counts
    assert batch.status == "completed"
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (15, 12, 3)
    assert batch.in_progress_at is not None
    assert batch.finalizing_at is not None
    assert batch.completed_at is not None
    assert batch.usage is not None
    assert batch.usage.total_tokens == batch.usage.input_tokens + batch.usage.output_tokens > 0

    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    output = [json.loads(each) for each in client.files.content(batch.output_file_id).iter_lines()]
    assert {each["custom_id"] for each in output} == {f"good-{n}" for n in range(12)}
    for each in output:
        assert each["id"].startswith("batch_req_")
        assert each["response"]["status_code"] == 200
        assert each["response"]["request_id"].startswith("req_")
        assert each["response"]["body"]["object"] == "chat.completion"
        assert each["error"] is None
    errors = [json.loads(each) for each in client.files.content(batch.error_file_id).iter_lines()]
    assert {each["custom_id"] for each in errors} == {f"bad-{n}" for n in range(3)}
    for each in errors:
        assert each["response"]["status_code"] == 400
        assert each["response"]["body"]["error"]["code"] == "fake_400"
        assert each["error"]["code"] == "backend_failed"
    for file_id in (batch.output_file_id, batch.error_file_id):
        told = client.files.retrieve(file_id)
        assert told.purpose == "batch_output"
        assert told.expires_at is not None
        assert told.expires_at - told.created_at in (86_400, 86_401)


def test_a_running_batch_is_cancelled(client: openai.OpenAI) -> None:
    batch = begin(client, [line("1"), line("2", "slow-60000")], "10m")
    assert batch.completion_window == "10m"
    until = time.monotonic() + WITHIN_S
    while not (batch.request_counts and batch.request_counts.completed):
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        batch = client.batches.retrieve(batch.id)
    cancelling = client.batches.cancel(batch.id)
    assert cancelling.status in ("cancelling", "cancelled")
    assert isinstance(cancelling.cancelling_at, int)
    batch = ended(client, cancelling)
    assert batch.status == "cancelled"
    assert isinstance(batch.cancelled_at, int)
    assert client.batches.cancel(batch.id).status == "cancelled"
    assert batch.output_file_id is not None
    (kept,) = client.files.content(batch.output_file_id).iter_lines()
    assert json.loads(kept)["custom_id"] == "1"
    assert batch.request_counts is not None
    assert batch.request_counts.completed == 1


def test_a_file_with_mistakes_fails_its_batch_and_names_them(client: openai.OpenAI) -> None:
    batch = ended(client, begin(client, [line("1"), line("1"), line("3", url="/v1/embeddings")]))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(each.code, each.line) for each in batch.errors.data] == [
        ("duplicate_custom_id", 2),
        ("url_mismatch", 3),
    ]


def test_refusals_are_the_sdks_errors(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as no_file:
        client.batches.create(
            input_file_id=f"file-{UNKNOWN}",
            endpoint="/v1/chat/completions",
            completion_window="24h",
        )
    assert (no_file.value.code, no_file.value.param) == ("file_not_found", "input_file_id")
    with pytest.raises(openai.NotFoundError) as no_batch:
        client.batches.retrieve(f"batch_{UNKNOWN}")
    assert no_batch.value.code == "batch_not_found"
    with pytest.raises(openai.BadRequestError) as no_window:
        begin(client, [line("1")], "soon")
    assert no_window.value.param == "completion_window"
    with pytest.raises(openai.NotFoundError):
        client.files.content(f"file-{UNKNOWN}")


async def test_the_async_client(stack: Stack) -> None:
    base_url = f"{stack.url}/v1"
    async with openai.AsyncOpenAI(base_url=base_url, api_key="x", max_retries=0) as client:
        lines = jsonl(line(str(n), ("echo", "slow-5")[n % 2]) for n in range(8))
        file = await client.files.create(file=("in.jsonl", lines), purpose="batch")
        assert (await client.files.wait_for_processing(file.id)).id == file.id
        batch = await client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_body={"order": "input"},
        )
        until = time.monotonic() + WITHIN_S
        while batch.status not in ENDED:
            assert time.monotonic() < until, batch
            batch = await client.batches.retrieve(batch.id)
        assert batch.status == "completed"
        assert batch.output_file_id is not None
        async with client.files.with_streaming_response.content(batch.output_file_id) as answer:
            told = [json.loads(each) async for each in answer.iter_lines()]
        assert [each["custom_id"] for each in told] == [str(n) for n in range(8)]
        assert batch.id in [each.id async for each in client.batches.list(limit=1)]
        assert (await client.batches.cancel(batch.id)).status == "completed"
        assert (await client.files.delete(file.id)).deleted
