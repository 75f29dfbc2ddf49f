"""What to do about each error, for whoever meets it."""

from __future__ import annotations

_RETRY = "Send it again after the seconds in Retry-After; SDKs do so by themselves."
_LOOK = "Look at the backend's log; `GET /v1/requests/{id}` names the backend."
_BLOBS = (
    "Send it again. Find out who deletes from the place of blobs: every process must use the same "
    "one, and nothing but Penstock may remove what is under `until/`."
)

DOOR_ADVICE: dict[str, str] = {
    "bad_request": "Mend the client: the message says which rule of HTTP/1.1 it breaks.",
    "invalid_json": "Mend the body: the message says where it stops being JSON.",
    "invalid_body": "Mend the field that `param` names.",
    "invalid_msgpack": "Mend the body: the message says what is wrong. Maps need texts as keys.",
    "invalid_routing_key": (
        "Take the slug from `GET /v1/models`; the priorities are high, normal, low and batch."
    ),
    "duplicate_key": "Send each top-level key once.",
    "model_mismatch": "Name the model once, best in the body.",
    "unsupported_parameter": (
        "Leave the part out that `param` names, or send the request to OpenAI: hosted tools, "
        "stored prompts, conversations and files live there."
    ),
    "previous_response_not_found": (
        "Send the whole conversation as `input`: the earlier Response is past its retention, was "
        "deleted, was not stored, or did not complete."
    ),
    "not_background": "Close the connection instead, or cancel it with `/v1/requests/{id}/cancel`.",
    "unsupported_endpoint": (
        "Use one of the four OpenAI paths, or list the path under `endpoints`."
    ),
    "streaming_unsupported": "Leave `stream` out; chat and completions stream.",
    "invalid_deadline": (
        "Send either `deadline` (Unix seconds, in the future) or `timeout_s`, at most 7 days ahead."
    ),
    "invalid_webhook_url": (
        "Give a public https:// URL on port 443 or 8443, or have its host added to "
        "`webhooks.allow`. The message says what is wrong with it."
    ),
    "too_many_webhook_endpoints": "Delete some, or let one endpoint take several event types.",
    "nothing_failed": "Nothing: there is nothing to do again.",
    "invalid_api_key": "Send a key of this server; a revoked or mistyped one is unknown to it.",
    "unknown_user": (
        "Set `user_id` to the user that the connection has logged in as: `penstock amqp grant` "
        "makes one with the tenant's name."
    ),
    "model_not_allowed": (
        "Ask for a model that `GET /v1/models` shows with this key, or have the tenant's "
        "`models` extended."
    ),
    "not_admin": "Use the admin key; clients need none of these paths.",
    "host_not_allowed": (
        "Call it as `localhost` or 127.0.0.1, or configure a key. It keeps web pages out that let "
        "their own name lead to this machine."
    ),
    "request_not_found": (
        "Check the id and the key: another tenant's request is not found either, nor one whose "
        "result was dropped after `retention_s`."
    ),
    "model_not_found": "Ask for a model that `GET /v1/models` shows.",
    "backend_not_found": "Name one that `GET /admin/v1/backends` shows.",
    "webhook_endpoint_not_found": "Check the id and the key: `GET /v1/webhook_endpoints`.",
    "webhook_delivery_not_found": (
        "Check the id and the key; deliveries are kept for 7 days, and 10,000 of them."
    ),
    "file_not_found": (
        "Check the id and the key: another tenant's file is not found either, nor one past its "
        "`expires_at`. Upload it again."
    ),
    "results_not_ready": "Wait until `processing_status` is `ended`.",
    "batch_not_found": "Check the id and the key: `GET /v1/batches` lists yours.",
    "file_in_use": "Cancel the batch that the message names, or wait for its end.",
    "batch_not_ended": "Wait for the end (`GET /v1/batches/{id}/events` tells it), or cancel it.",
    "route_not_found": "Check the path.",
    "method_not_allowed": "Check the method: the header `Allow` names those that the path takes.",
    "request_timeout": "Send headers and body without long pauses; the limits are under `server`.",
    "idempotency_conflict": "Use a new key for a new request.",
    "not_finished": "Wait for the end with `?wait=` first.",
    "request_cancelled": (
        "Nothing: somebody cancelled it. Send a new request if it is still wanted."
    ),
    "body_too_large": "Send less, or raise `server.max_body_bytes`.",
    "file_too_large": "Split the file, or raise `files.max_bytes`.",
    "tenant_files_full": (
        "Delete files that are not needed any more, or have `files.max_tenant_bytes` raised."
    ),
    "range_not_satisfiable": "Ask for less: the header `Content-Range` tells the file's size.",
    "line_too_long": (
        "Send less in that line, or raise `server.max_body_bytes`; the lines behind it are taken."
    ),
    "uri_too_long": "Send fewer or shorter parameters.",
    "unsupported_media_type": "Send JSON in UTF-8, uncompressed, as `application/json`.",
    "headers_too_large": "Send fewer or shorter headers; cookies are the usual cause.",
    "queue_full": "Wait, or raise `max_queued`.",
    "tenant_queue_full": (
        "Wait for some of your own requests, or have the tenant's `max_queued` raised."
    ),
    "deadline_unreachable": (
        "Send it again after the seconds in Retry-After, give it more time, or add capacity."
    ),
    "internal_error": (
        "Report it with the log's lines at that time. Repeat it with an Idempotency-Key."
    ),
    "backend_failed": _LOOK,
    "backend_invalid_response": _LOOK,
    "body_lost": _BLOBS,
    "result_lost": _BLOBS,
    "blobs_unavailable": (
        "Send it again after the seconds in Retry-After. `penstock doctor` says what is wrong with "
        "`blobs.directory` or `blobs.s3`; bodies up to 256 KiB are accepted meanwhile."
    ),
    "queue_unavailable": _RETRY,
    "store_unavailable": _RETRY,
    "not_accepted": _RETRY,
    "storage_full": (
        "Free space on the disk of `server.data_dir`; Penstock accepts again by itself."
    ),
    "draining": (
        "Send it again after the seconds in Retry-After: to another server where this one shuts "
        "down. A model that is named takes no new requests until its operator resumes it."
    ),
    "too_many_connections": (
        "Share connections (a client with a pool), or raise `server.max_connections`."
    ),
    "webhook_unreachable": (
        "The message says what went wrong: a name, a certificate, a refused connection, no answer "
        "in time. No worker process runs if it says that nobody sent it."
    ),
    "backend_timeout": "Raise the backend's `timeout_s`, or ask for less.",
    "deadline_exceeded": "Give it more time (`x-penstock-timeout-s`), or add capacity.",
}

ENDING_ADVICE: dict[str, str] = {
    "backend_failed": "Mend the request: `response` holds the backend's own words.",
    "backend_invalid_response": _LOOK,
    "backend_timeout": "Raise the backend's `timeout_s`, or ask for less; redrive it.",
    "attempts_exhausted": "See that the backend is well, then redrive it.",
    "cancelled": "Nothing: a client, or its disconnect, cancelled it.",
    "expired": "Give it more time, or add capacity; redrive it.",
    "poisoned": "It kills its worker: look at the worker's memory and log before a redrive.",
    "dead_lettered": "Look for a policy or a delivery limit on Penstock's queues; redrive it.",
    "not_accepted": "Nothing: the client was answered 503 and told to send it again.",
    "body_lost": _BLOBS,
    "copy_lost": "Find out who purged the queue, or how Redis lost its last writes; send it again.",
    "model_removed": "Configure the model again and redrive it, or ask for another one.",
    "stream_interrupted": (
        "Drop what was shown and send it again, or redrive it. With `restart: true` another "
        "attempt begins the answer anew in the same stream."
    ),
}

BATCH_ADVICE: dict[str, str] = {
    "invalid_json_line": (
        "Write one JSON object a line, ended by LF or CRLF; the message says where it stops being "
        "JSON."
    ),
    "missing_custom_id": "Give every line a `custom_id` of its own.",
    "invalid_custom_id": "Give it a string of 1 to 512 characters.",
    "duplicate_custom_id": "Give one of the two lines that the message names another one.",
    "invalid_method": 'Write `"method": "POST"`.',
    "invalid_url": "Write the path alone, as in `endpoint` of the batch; no host and no query.",
    "url_mismatch": "Create one batch for each endpoint.",
    "invalid_body": "Mend the field that `param` names.",
    "model_not_found": "Ask for a model that `GET /v1/models` shows.",
    "model_not_allowed": (
        "Ask for a model that `GET /v1/models` shows with this key, or have the tenant's "
        "`models` extended."
    ),
    "streaming_unsupported": "Leave `stream` out of the line's body.",
    "line_too_long": "Send less in one line, or raise `server.max_body_bytes`.",
    "too_many_lines": "Split the file into several batches, or raise `batches.max_lines`.",
    "empty_file": "Check what was uploaded: nothing but blank lines was in it.",
    "unreadable_file": "Upload the JSON lines themselves, in UTF-8: the message says what it is.",
    "input_file_missing": "Upload the file again and create a new batch with it.",
    "more_mistakes": "Read `error_file_id`, which has them all.",
    "batch_expired": "Give the batch a longer `completion_window`, or add capacity; retry it.",
    "batch_cancelled": "Nothing: the batch was cancelled. Create a new one for what is missing.",
}
