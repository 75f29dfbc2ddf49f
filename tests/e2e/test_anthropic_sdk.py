"""The unmodified Anthropic SDK: batches of messages against a real Penstock."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
from anthropic.types.messages.batch_create_params import Request

from tests.fakes.stack import Setup, Stack, serving

MODELS = ("echo", "slow-60000", "status-404", "status-500", "html")
END_S = 60.0


@pytest.fixture(scope="module")
def stack(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with serving(tmp_path_factory.mktemp("anthropic"), setup, MODELS) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=stack.url, api_key="any", max_retries=0) as client:
        yield client


def asked(custom_id: str, model: str = "echo", **params: Any) -> Request:
    message = {"role": "user", "content": f"Hello {custom_id}, ü \u2028 😀"}
    return {
        "custom_id": custom_id,
        "params": {"model": model, "max_tokens": 8, "messages": [message], **params},  # type: ignore[typeddict-item]  # because some are wrong on purpose
    }


def ended(client: anthropic.Anthropic, batch: MessageBatch) -> MessageBatch:
    until = time.monotonic() + END_S
    while batch.processing_status != "ended":
        assert time.monotonic() < until, batch
        time.sleep(0.1)
        batch = client.messages.batches.retrieve(batch.id)
    return batch


def results_of(
    client: anthropic.Anthropic, batch: MessageBatch
) -> dict[str, MessageBatchIndividualResponse]:
    results = list(client.messages.batches.results(batch.id))
    by_custom_id = {each.custom_id: each for each in results}
    assert len(by_custom_id) == len(results)
    return by_custom_id


def test_a_batch_from_its_creation_to_its_results(client: anthropic.Anthropic) -> None:
    batch = client.messages.batches.create(requests=[asked(f"r-{n}") for n in range(20)])
    assert batch.id.startswith("msgbatch_")
    assert batch.processing_status == "in_progress"
    assert batch.request_counts.processing == 20
    assert (batch.expires_at - batch.created_at).total_seconds() == 86_400
    assert (batch.ended_at, batch.results_url, batch.cancel_initiated_at) == (None, None, None)
    batch = ended(client, batch)
    assert batch.ended_at is not None
    assert batch.ended_at >= batch.created_at
    assert batch.request_counts.to_dict() == counts(succeeded=20)
    results = results_of(client, batch)
    assert set(results) == {f"r-{n}" for n in range(20)}
    for custom_id, each in results.items():
        assert each.result.type == "succeeded"
        message = each.result.message
        assert message.usage.output_tokens == 2
        assert message.content[0].type == "text"
        assert f"Hello {custom_id}, ü \u2028 😀" in message.content[0].text


def counts(**given: int) -> dict[str, int]:
    names = ("processing", "succeeded", "errored", "canceled", "expired")
    return {name: given.get(name, 0) for name in names}


def test_requests_fail_each_for_itself(client: anthropic.Anthropic) -> None:
    without_max_tokens = asked("refused")
    del without_max_tokens["params"]["max_tokens"]  # type: ignore[misc]  # it is required, hence the error
    batch = client.messages.batches.create(
        requests=[
            asked("good"),
            without_max_tokens,
            asked("no path", "status-404") | {"custom_id": "no-path"},
            asked("broken", "status-500"),
            asked("html", "html"),
        ]
    )
    batch = ended(client, batch)
    assert batch.request_counts.to_dict() == counts(succeeded=1, errored=4)
    told = {}
    for custom_id, each in results_of(client, batch).items():
        if each.result.type == "errored":
            assert each.result.error.type == "error"
            told[custom_id] = (each.result.error.error.type, each.result.error.error.message)
    assert told == {
        "refused": ("invalid_request_error", "max_tokens: Field required"),
        "no-path": (
            "not_found_error",
            "fake says no (the backend answered 404); does this backend serve /v1/messages?",
        ),
        "broken": ("api_error", told["broken"][1]),
        "html": ("api_error", told["html"][1]),
    }
    assert "the backend answered 500" in told["broken"][1]
    assert "not valid JSON" in told["html"][1]


def test_cancelled_ones_have_results_too(client: anthropic.Anthropic) -> None:
    requests = [asked(f"r-{n}", "slow-60000") for n in range(30)]
    batch = client.messages.batches.create(requests=requests)
    cancelled = client.messages.batches.cancel(batch.id)
    assert cancelled.processing_status == "canceling"
    assert cancelled.cancel_initiated_at is not None
    batch = ended(client, batch)
    assert batch.cancel_initiated_at == cancelled.cancel_initiated_at
    assert batch.request_counts.to_dict() == counts(canceled=30)
    results = results_of(client, batch)
    assert {each.result.type for each in results.values()} == {"canceled"}
    assert len(results) == 30
    assert client.messages.batches.cancel(batch.id).processing_status == "ended"


def test_pages_go_both_ways(client: anthropic.Anthropic) -> None:
    made = [client.messages.batches.create(requests=[asked("a")]).id for _ in range(5)]
    listing = client.messages.batches.list(limit=2)
    found = [batch.id for batch in listing]
    assert found[:5] == made[::-1]
    assert len(found) == len(set(found))
    before = client.messages.batches.list(before_id=made[0], limit=2)
    assert [batch.id for batch in before.data] == [made[2], made[1]]
    assert before.has_more
    assert [batch.id for batch in before][2:] == [made[4], made[3]]
    after = client.messages.batches.list(after_id=made[4], limit=1000)
    assert [batch.id for batch in after.data][:4] == made[3::-1]
    with pytest.raises(anthropic.BadRequestError):
        client.messages.batches.list(after_id="msgbatch_none")


def test_a_deleted_one_is_gone_with_its_results(client: anthropic.Anthropic) -> None:
    batch = client.messages.batches.create(requests=[asked("a", "slow-60000")])
    with pytest.raises(anthropic.ConflictError) as refused:
        client.messages.batches.delete(batch.id)
    assert refused.value.error_code == "batch_not_ended"
    client.messages.batches.cancel(batch.id)
    batch = ended(client, batch)
    deleted = client.messages.batches.delete(batch.id)
    assert deleted.to_dict() == {"id": batch.id, "type": "message_batch_deleted"}
    calls: list[Callable[[str], object]] = [
        client.messages.batches.retrieve,
        client.messages.batches.delete,
        client.messages.batches.cancel,
        client.messages.batches.results,
    ]
    for call in calls:
        with pytest.raises(anthropic.NotFoundError) as gone:
            call(batch.id)
        assert (gone.value.type, gone.value.error_code) == ("not_found_error", "batch_not_found")


@pytest.mark.parametrize(
    ("requests", "status", "kind", "code", "says"),
    [
        ([], 400, "invalid_request_error", "invalid_body", "requests: "),
        ([asked("a"), asked("a")], 400, "invalid_request_error", "invalid_body", "requests.1.cus"),
        ([asked("a b")], 400, "invalid_request_error", "invalid_body", "requests.0.custom_id: "),
        (
            [asked("a", stream=True)],
            400,
            "invalid_request_error",
            "streaming_unsupported",
            "requests.0.params.stream: ",
        ),
        ([asked("a", "nobody")], 404, "not_found_error", "model_not_found", "requests.0.params.mo"),
    ],
)
def test_what_is_wrong_is_told_at_once(
    client: anthropic.Anthropic,
    requests: list[Request],
    status: int,
    kind: str,
    code: str,
    says: str,
) -> None:
    before = client.messages.batches.list(limit=1).first_id
    with pytest.raises(anthropic.APIStatusError) as refused:
        client.messages.batches.create(requests=requests)
    error = refused.value
    assert (error.status_code, error.type, error.error_code) == (status, kind, code)
    assert (error.api_message or "").startswith(says)
    assert client.messages.batches.list(limit=1).first_id == before


def test_the_beta_resource_is_the_same(client: anthropic.Anthropic) -> None:
    batch = client.beta.messages.batches.create(requests=[asked("a")])  # type: ignore[list-item]  # its own type of the same shape
    assert client.messages.batches.retrieve(batch.id).id == batch.id
    assert client.beta.messages.batches.list(limit=1).data[0].id == batch.id
