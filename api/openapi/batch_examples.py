"""The examples of the OpenAPI document for files and batches. The tests send each request."""

from __future__ import annotations

from typing import Any

FILE_ID = "file-0dadbc8ebfa82e7f39379cea624ace5ae9"
BATCH_ID = "batch_0dadbc8ebfa82e7f39379cea624ace5ae9"
_OUTPUT_ID = "file-0d3f9c2b1a0e4d5c6b7a8f9e0d1c2b3a49"

FILE: dict[str, Any] = {
    "id": FILE_ID,
    "object": "file",
    "bytes": 312,
    "created_at": 1764153600,
    "expires_at": 1766745600,
    "filename": "requests.jsonl",
    "purpose": "batch",
    "status": "processed",
    "status_details": None,
}
FILES: dict[str, Any] = {
    "object": "list",
    "data": [FILE],
    "first_id": FILE_ID,
    "last_id": FILE_ID,
    "has_more": False,
}
DELETED: dict[str, Any] = {"id": FILE_ID, "object": "file", "deleted": True}
LINES = (
    '{"id": "batch_req_0dadbc8ebfa82e7f39379cea6200000000", "custom_id": "fruit-1", "response": '
    '{"status_code": 200, "request_id": "req_0dadbc8ebfa82e7f39379cea6200000000", "body": '
    '{"object": "chat.completion", "choices": []}}, "error": null}\n'
)

CREATE: dict[str, Any] = {
    "input_file_id": FILE_ID,
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "metadata": {"job": "nightly"},
}
CREATED: dict[str, Any] = {
    "id": BATCH_ID,
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": None,
    "errors": None,
    "input_file_id": FILE_ID,
    "completion_window": "24h",
    "status": "validating",
    "output_file_id": None,
    "error_file_id": None,
    "created_at": 1764153600,
    "in_progress_at": None,
    "expires_at": 1764240000,
    "finalizing_at": None,
    "completed_at": None,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
    "usage": {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    },
    "metadata": {"job": "nightly"},
    "penstock": {
        "order": "completion",
        "error_codes": "names",
        "paused": False,
        "running": 0,
        "lines_per_s": 0.0,
        "eta_s": None,
        "cancelled": 0,
        "expired": 0,
        "not_started": 0,
        "line_events": False,
        "retry_of": None,
    },
}
RUNNING: dict[str, Any] = {
    **CREATED,
    "model": "llama3.2",
    "status": "in_progress",
    "output_file_id": _OUTPUT_ID,
    "in_progress_at": 1764153601,
    "request_counts": {"total": 20000, "completed": 4000, "failed": 0},
    "usage": {
        "input_tokens": 48000,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 8000,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 56000,
    },
    "penstock": {
        **CREATED["penstock"],
        "running": 1000,
        "lines_per_s": 400.0,
        "eta_s": 40.0,
        "not_started": 15000,
    },
}
CANCELLING: dict[str, Any] = {
    **RUNNING,
    "status": "cancelling",
    "cancelling_at": 1764153612,
    "penstock": {**RUNNING["penstock"], "eta_s": None},
}
PAUSED: dict[str, Any] = {
    **RUNNING,
    "penstock": {**RUNNING["penstock"], "paused": True, "eta_s": None},
}
RETRYING: dict[str, Any] = {
    **CREATED,
    "id": "batch_0d61f0c2b3a4958677889900aabbccddee",
    "penstock": {**CREATED["penstock"], "retry_of": BATCH_ID},
}
BATCHES: dict[str, Any] = {
    "object": "list",
    "data": [RUNNING],
    "first_id": BATCH_ID,
    "last_id": BATCH_ID,
    "has_more": False,
}
EVENTS = (
    'event: batch\ndata: {"id": "batch_0dadbc8ebfa82e7f39379cea624ace5ae9", "status": '
    '"in_progress", ...}\n\n'
    'event: batch\ndata: {"id": "batch_0dadbc8ebfa82e7f39379cea624ace5ae9", "status": '
    '"completed", ...}\n\n'
)
