"""OpenAI-shaped answers; the nonce in each tells two calls for one request apart."""

from __future__ import annotations

import json
import random
import time
from typing import Any

from tests.fakes import messages, native
from tests.fakes.talking import said


def answer(endpoint: str, model: str, nonce: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the body for a successful call of `endpoint`, e.g. `chat/completions`."""
    if endpoint == "embeddings":
        return _embedding(model, nonce, asked)
    if endpoint == "completions":
        return _completion(model, nonce)
    if endpoint == "rerank":
        return _ranking(model, nonce, asked)
    if endpoint == "audio/transcriptions":
        return {"text": f"echo {nonce}", "model": model}
    if endpoint == messages.ENDPOINT:
        return messages.message(model, nonce, asked)
    if endpoint == "responses":
        return native.response(asked, nonce, "failed" if model == "native-fails" else "completed")
    return _chat(model, nonce, asked)


def speech(nonce: str) -> bytes:
    """Return audio that is neither text nor JSON."""
    return b"ID3\x04\x00\xff\xfb\x90" + nonce.encode()


def refusal(status: int) -> bytes:
    """Return a backend's error in OpenAI's shape, with bytes that re-serialising would change."""
    return (
        b'{ "error": {"message":"fake says no","type":"fake_error" , "code":"fake_%d",'
        b'"param":null, "big": 123456789012345678901234567890} }' % status
    )


def latency_s(model: str) -> float:
    """Return how long a model takes for its answer, by its name."""
    kind, *bounds = model.split("-")
    if kind == "slow":
        return int(bounds[0]) / 1000
    if kind == "jitter":
        return random.uniform(int(bounds[0]), int(bounds[1])) / 1000
    if kind == "exp":
        return random.expovariate(1000 / int(bounds[0]))
    return 0.0


def tag_of(asked: dict[str, Any]) -> str:
    """Return the mark that a test put into the request's `user` field."""
    user = asked.get("user", "")
    return user if isinstance(user, str) else ""


def nonce_in(body: dict[str, Any]) -> str:
    """Return the nonce of an answer."""
    fingerprint: str = body["system_fingerprint"]
    return fingerprint


def _chat(model: str, nonce: str, asked: dict[str, Any]) -> dict[str, Any]:
    prompt = json.dumps(asked.get("messages", ""))
    return {
        "id": f"chatcmpl-{nonce}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": nonce,
        "choices": [
            {
                "index": 0,
                "message": said(asked)
                if model == "answers"
                else {"role": "assistant", "content": f"echo {nonce}"},
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": len(prompt) // 4,
            "completion_tokens": 2,
            "total_tokens": len(prompt) // 4 + 2,
        },
    }


def _completion(model: str, nonce: str) -> dict[str, Any]:
    return {
        "id": f"cmpl-{nonce}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": nonce,
        "choices": [
            {"index": 0, "text": f"echo {nonce}", "logprobs": None, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 2, "completion_tokens": 2, "total_tokens": 4},
    }


def _embedding(model: str, nonce: str, asked: dict[str, Any]) -> dict[str, Any]:
    asked_input = asked.get("input", "")
    count = len(asked_input) if isinstance(asked_input, list) else 1
    return {
        "object": "list",
        "model": model,
        "system_fingerprint": nonce,
        "data": [
            {"object": "embedding", "index": index, "embedding": [0.5, -0.25]}
            for index in range(count)
        ],
        "usage": {"prompt_tokens": count, "total_tokens": count},
    }


def _ranking(model: str, nonce: str, asked: dict[str, Any]) -> dict[str, Any]:
    documents = asked.get("documents", [])
    return {
        "model": model,
        "system_fingerprint": nonce,
        "results": [
            {"index": index, "relevance_score": 1 / (index + 1)} for index in range(len(documents))
        ],
        "usage": {"prompt_tokens": len(documents), "total_tokens": len(documents)},
    }
