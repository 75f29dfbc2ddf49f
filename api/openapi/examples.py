"""The examples of the OpenAPI document. The tests send each request and check each answer."""

from __future__ import annotations

from typing import Any

MODEL = "llama3.2"
BACKEND = "gpu-a"
REQUEST_ID = "req_0dadbc8ebfa82e7f39379cea624ace5ae9"

SUBMIT: dict[str, Any] = {
    "priority": "low",
    "timeout_s": 3600,
    "metadata": {"job": "nightly"},
    "body": {"model": MODEL, "messages": [{"role": "user", "content": "Name a fruit."}]},
}
CHAT: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Name a fruit."}],
    "service_tier": "flex",
}
COMPLETION: dict[str, Any] = {"model": MODEL, "prompt": "A fruit:", "max_tokens": 8}
EMBEDDING: dict[str, Any] = {"model": MODEL, "input": ["a fruit", "a tree"]}
PASSED_THROUGH: dict[str, Any] = {
    "model": MODEL,
    "query": "fruit",
    "documents": ["apple", "granite"],
}

_USAGE = {"prompt_tokens": 12, "completion_tokens": 2, "total_tokens": 14}
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1764153600,
    "model": MODEL,
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Banana."},
            "finish_reason": "stop",
        }
    ],
    "usage": _USAGE,
    "service_tier": "flex",
}
COMPLETION_ANSWER: dict[str, Any] = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1764153600,
    "model": MODEL,
    "choices": [{"index": 0, "text": " banana", "logprobs": None, "finish_reason": "stop"}],
    "usage": _USAGE,
}
EMBEDDING_ANSWER: dict[str, Any] = {
    "object": "list",
    "model": MODEL,
    "data": [
        {"object": "embedding", "index": 0, "embedding": [0.1, -0.2]},
        {"object": "embedding", "index": 1, "embedding": [0.0, 0.3]},
    ],
    "usage": {"prompt_tokens": 4, "total_tokens": 4},
}

QUEUED: dict[str, Any] = {
    "id": REQUEST_ID,
    "object": "request",
    "status": "queued",
    "model": MODEL,
    "endpoint": "/v1/chat/completions",
    "priority": "low",
    "tenant": "default",
    "created_at": 1764153600.125,
    "deadline": 1764157200.125,
    "not_before": None,
    "started_at": None,
    "finished_at": None,
    "attempts": 0,
    "position": 15,
    "eta_s": 3.8,
    "waiting_for": "11 of higher priority and 3 of its own",
    "target": None,
    "response": None,
    "error": None,
    "usage": None,
    "metadata": {"job": "nightly"},
    "expires_at": None,
    "history": [],
}
COMPLETED: dict[str, Any] = {
    **QUEUED,
    "status": "completed",
    "started_at": 1764153603.9,
    "finished_at": 1764153604.6,
    "attempts": 1,
    "position": None,
    "eta_s": None,
    "waiting_for": None,
    "target": {"backend": "gpu-a", "model": MODEL},
    "response": {"status_code": 200, "body": CHAT_ANSWER},
    "usage": {"input_tokens": 12, "output_tokens": 2, "total_tokens": 14},
    "expires_at": 1764240004.6,
    "history": [
        {
            "attempt": 1,
            "backend": "gpu-a",
            "started_at": 1764153603.9,
            "ended_at": 1764153604.6,
            "outcome": "ok",
            "status_code": 200,
            "message": None,
        }
    ],
}
CANCELLED: dict[str, Any] = {
    **QUEUED,
    "status": "cancelled",
    "finished_at": 1764153601.0,
    "position": None,
    "eta_s": None,
    "waiting_for": None,
    "error": {
        "type": "request_failed",
        "code": "cancelled",
        "message": "The request was cancelled.",
        "param": None,
    },
    "expires_at": 1764240001.0,
}
_LISTED = {name: value for name, value in COMPLETED.items() if name != "history"}
CANCEL: dict[str, Any] = {"model": MODEL, "status": "queued", "created_before": 1764153600}
CANCEL_ANY: dict[str, Any] = {"tenant": "acme", "priority": "batch"}
REQUESTS_CANCELLED: dict[str, Any] = {
    "object": "requests.cancelled",
    "cancelled": 1000,
    "last_id": REQUEST_ID,
    "has_more": True,
}
REQUEST_LIST: dict[str, Any] = {
    "object": "list",
    "data": [{**_LISTED, "response": {"status_code": 200, "body": None}}],
    "first_id": REQUEST_ID,
    "last_id": REQUEST_ID,
    "has_more": False,
}

_LOAD: dict[str, Any] = {
    "slug": "llama3-2-52f3e02a",
    "priorities": {"high": 0, "normal": 3, "low": 14, "batch": 0},
    "waiting": 17,
    "running": 8,
    "slots": 8,
}
MODEL_ITEM: dict[str, Any] = {
    "id": MODEL,
    "object": "model",
    "created": 1764153500,
    "owned_by": "penstock",
    "penstock": _LOAD,
}
MODEL_LIST: dict[str, Any] = {"object": "list", "data": [MODEL_ITEM]}

ADMIN_MODEL: dict[str, Any] = {
    "id": MODEL,
    "object": "model",
    "state": "running",
    "aliases": ["fruit-chat"],
    "targets": [{"backend": "gpu-a", "model": None, "weight": 1.0}],
    "max_queued": 1_000_000,
    **_LOAD,
}
ADMIN_MODELS: dict[str, Any] = {"object": "list", "data": [ADMIN_MODEL]}
ADMIN_BACKEND: dict[str, Any] = {
    "id": BACKEND,
    "object": "backend",
    "state": "running",
    "kind": "openai",
    "urls": ["http://gpu-a:8000/v1"],
    "concurrency": 8,
    "held": 8,
    "models": [MODEL],
}
ADMIN_BACKENDS: dict[str, Any] = {"object": "list", "data": [ADMIN_BACKEND]}
ADMIN_QUEUES: dict[str, Any] = {
    "object": "list",
    "data": [
        {
            "id": "penstock.q.llama3-2-52f3e02a.low.open",
            "object": "queue",
            "model": MODEL,
            "priority": "low",
            "waiting": 14,
        },
        {
            "id": "penstock.retry.5s",
            "object": "queue",
            "model": None,
            "priority": None,
            "waiting": 0,
        },
    ],
}
DEAD_LETTER: dict[str, Any] = {
    **_LISTED,
    "status": "failed",
    "attempts": 3,
    "response": None,
    "error": {
        "type": "request_failed",
        "code": "attempts_exhausted",
        "message": "Every attempt failed; the last one: the backend answered 500.",
        "param": None,
    },
    "usage": None,
    "redrive_of": None,
    "redriven_as": None,
}
DEAD_LETTER_LIST: dict[str, Any] = {
    "object": "list",
    "data": [DEAD_LETTER],
    "first_id": REQUEST_ID,
    "last_id": REQUEST_ID,
    "has_more": False,
}
_FAILED = {"outcome": "error", "status_code": 500, "message": "the backend answered 500"}
_STARTS = enumerate((1764153603.9, 1764153609.7, 1764153645.2), 1)
DEAD_LETTER_WHOLE: dict[str, Any] = {
    **DEAD_LETTER,
    "history": [
        {
            "attempt": number,
            "backend": "gpu-a",
            "started_at": began,
            "ended_at": round(began + 0.7, 3),
            **_FAILED,
        }
        for number, began in _STARTS
    ],
    "request": SUBMIT["body"],
}
REDRIVEN: dict[str, Any] = {
    **{name: value for name, value in QUEUED.items() if name != "history"},
    "id": "req_0ac19c7e4c9ad14e7b9e2b6f2b3f0d5c61",
    "position": None,
    "eta_s": None,
    "waiting_for": None,
    "redrive_of": REQUEST_ID,
    "redriven_as": None,
}
PURGED: dict[str, Any] = {"id": REQUEST_ID, "object": "dead_letter", "deleted": True}
FOREIGN_LETTERS: dict[str, Any] = {
    "object": "list",
    "data": [
        {"reason": "not an envelope: cut short", "filed_at": 1764153600.0, "body": "hello"},
    ],
}
FOREIGN_PURGED: dict[str, Any] = {"deleted": 1}
READY: dict[str, Any] = {
    "status": "ok",
    "checks": {"rabbitmq": "ok", "redis": "ok", "accepting": "ok", "workers": "ok"},
}
UNREADY: dict[str, Any] = {
    "status": "unavailable",
    "checks": {
        "rabbitmq": "ok",
        "redis": "ok",
        "accepting": "ok",
        "workers": "no live worker serves a model",
    },
}
ALIVE: dict[str, Any] = {"status": "ok"}
