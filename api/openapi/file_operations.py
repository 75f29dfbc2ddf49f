"""The table of the operations of files."""

from __future__ import annotations

from typing import Any

from api.openapi import batch_examples as examples
from api.openapi.operation import Answer, Operation
from schemas.batch_wire import LEAST_KEPT_S, MOST_KEPT_S, UPLOAD_PURPOSES

_TAG = "Files"
_BASE = "/v1/files"
_ONE = f"{_BASE}/{{id}}"
_AWAY = ("store_unavailable",)
_FINDING = ("file_not_found", *_AWAY)
_BYTES = "application/octet-stream"
_BINARY = {"type": "string", "format": "binary"}
_SERVED = ("Accept-Ranges", "Content-Disposition", "ETag", "x-incomplete")
_FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "purpose": {"type": "string", "enum": list(UPLOAD_PURPOSES)},
        "file": _BINARY,
        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
        "expires_after[seconds]": {
            "type": "integer",
            "minimum": LEAST_KEPT_S,
            "maximum": MOST_KEPT_S,
        },
    },
    "required": ["purpose", "file"],
    "additionalProperties": False,
}

FILES = (
    Operation(
        "createFile",
        "post",
        _BASE,
        _TAG,
        "Upload a file",
        {200: Answer("FileObject", examples.FILE, "It is stored, and can be used at once.")},
        (
            "invalid_body",
            "duplicate_key",
            "unsupported_media_type",
            "file_too_large",
            "tenant_files_full",
            "idempotency_conflict",
            "storage_full",
            "blobs_unavailable",
            "draining",
            *_AWAY,
        ),
        ("idempotency_key",),
        description="The parts of the form may come in any order. Lines of a batch are JSON: "
        '`{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {...}}`.',
        form={"purpose": "batch", "file": "@requests.jsonl"},
        more_bodies={"multipart/form-data": _FORM},
    ),
    Operation(
        "listFiles",
        "get",
        _BASE,
        _TAG,
        "List your files",
        {200: Answer("FileList", examples.FILES)},
        ("invalid_body", *_AWAY),
        ("file_limit", "after_file", "order", "purpose"),
    ),
    Operation(
        "readFile",
        "get",
        _ONE,
        _TAG,
        "What is known of a file",
        {200: Answer("FileObject", examples.FILE)},
        _FINDING,
        ("file",),
    ),
    Operation(
        "readFileContent",
        "get",
        f"{_ONE}/content",
        _TAG,
        "The bytes of a file, or one range of them",
        {
            200: Answer(_BINARY, examples.LINES, "The whole.", _SERVED, _BYTES),
            206: Answer(_BINARY, None, "The range.", (*_SERVED, "Content-Range"), _BYTES),
        },
        ("range_not_satisfiable", "blobs_unavailable", *_FINDING),
        ("file", "range", "if_range"),
        description="The output of a batch that runs can be read as far as it has come; it has "
        "`x-incomplete: true` then.",
    ),
    Operation(
        "deleteFile",
        "delete",
        _ONE,
        _TAG,
        "Delete a file",
        {200: Answer("FileDeleted", examples.DELETED)},
        ("file_in_use", *_FINDING),
        ("file",),
    ),
)
