"""Every failure a user can meet.

    PenstockError
    +- RequestError        refused at a door, answered in OpenAI's error shape
    +- ConfigError         the configuration or the command line is wrong (exit code 2)
    +- EngineError         a part below us
       +- StoreUnavailable   the store did not answer in time
       +- StorageFull        the disk is nearly full; nothing was changed
       +- QueueUnavailable   RabbitMQ did not confirm in time; the outcome may be unknown
       +- BlobsUnavailable   the place of files and large bodies cannot be used
       +- BlobMissing        a file's bytes are gone
       +- TopologyDrift      a queue exists with other arguments than ours

`DOOR_ERRORS` lists what a door can answer, `TERMINAL_CODES` how a request can end. `BATCH_ERRORS`
are of the file of a batch, `BATCH_ENDINGS` of lines that end with their batch.
"""

from __future__ import annotations

from dataclasses import dataclass


class PenstockError(Exception):
    """The base of every error that Penstock raises on purpose."""


class ConfigError(PenstockError):
    """The configuration or the command line cannot be used as it is."""


class EngineError(PenstockError):
    """A part that Penstock stands on failed or did not answer in time."""


class StoreUnavailable(EngineError):
    """The store did not answer in time."""


class StorageFull(EngineError):
    """The disk is full, or too nearly so to accept more; nothing was changed."""


class QueueUnavailable(EngineError):
    """The queue did not confirm a message in time; whether it was stored is unknown."""


class BlobsUnavailable(EngineError):
    """The place of files and large bodies did not answer in time, or refused."""


class BlobMissing(EngineError):
    """The bytes of a file, or of a large body, are not where they should be."""


class TopologyDrift(EngineError):
    """A queue or exchange exists with other arguments than Penstock declares."""


@dataclass(frozen=True, slots=True)
class DoorError:
    """One row of the table of refusals: HTTP status, OpenAI error type, default sentence."""

    status: int
    type: str
    sentence: str
    retry_after_s: int | None = None
    final: bool = False  # tells the OpenAI SDK not to retry by itself


_INVALID = "invalid_request_error"
_PERMISSION = "permission_error"
_RATE_LIMIT = "rate_limit_error"
_UNAVAILABLE = "service_unavailable"

DOOR_ERRORS: dict[str, DoorError] = {
    "invalid_json": DoorError(400, _INVALID, "The body is not valid JSON."),
    "invalid_body": DoorError(400, _INVALID, "The body does not have the expected shape."),
    "invalid_msgpack": DoorError(400, _INVALID, "The body is not valid msgpack."),
    "invalid_routing_key": DoorError(
        400, _INVALID, "Publish with the routing key `<slug of the model>.<priority>`."
    ),
    "duplicate_key": DoorError(400, _INVALID, "A top-level key of the body appears twice."),
    "model_mismatch": DoorError(400, _INVALID, "`model` and `body.model` name different models."),
    "unsupported_parameter": DoorError(
        400, _INVALID, "A part of the request cannot be served here; leave it out."
    ),
    "previous_response_not_found": DoorError(
        400, _INVALID, "`previous_response_id` names no Response that can be gone on from."
    ),
    "not_background": DoorError(
        400, _INVALID, "Only a Response with `background: true` can be cancelled this way."
    ),
    "unsupported_endpoint": DoorError(400, _INVALID, "This endpoint is not served."),
    "streaming_unsupported": DoorError(
        400, _INVALID, "This endpoint does not stream; send the request without `stream: true`."
    ),
    "invalid_deadline": DoorError(400, _INVALID, "The deadline is not a usable instant."),
    "invalid_webhook_url": DoorError(400, _INVALID, "No webhook is sent to this URL."),
    "too_many_webhook_endpoints": DoorError(
        400, _INVALID, "You have as many webhook endpoints as one tenant may have."
    ),
    "nothing_failed": DoorError(400, _INVALID, "No line of this batch has failed."),
    "invalid_api_key": DoorError(
        401,
        "authentication_error",
        "Send a valid API key as `Authorization: Bearer psk_...` or `x-api-key: psk_...`.",
    ),
    "unknown_user": DoorError(
        401,
        "authentication_error",
        "Publish with the AMQP property `user_id`: your RabbitMQ user, named as your tenant.",
    ),
    "model_not_allowed": DoorError(403, _PERMISSION, "This key does not open this model."),
    "not_admin": DoorError(403, _PERMISSION, "Only the key in PENSTOCK_ADMIN_KEY opens this."),
    "host_not_allowed": DoorError(
        403,
        _PERMISSION,
        "While no key is configured only this machine's own names are answered, such as localhost.",
    ),
    "request_not_found": DoorError(404, _INVALID, "No request with this id exists."),
    "model_not_found": DoorError(404, _INVALID, "This model is not served here."),
    "backend_not_found": DoorError(404, _INVALID, "No backend has this name."),
    "webhook_endpoint_not_found": DoorError(404, _INVALID, "No webhook endpoint has this id."),
    "webhook_delivery_not_found": DoorError(404, _INVALID, "No webhook delivery has this id."),
    "file_not_found": DoorError(404, _INVALID, "No file has this id."),
    "results_not_ready": DoorError(
        404, _INVALID, "The results of this batch are there once it has ended."
    ),
    "batch_not_found": DoorError(404, _INVALID, "No batch has this id."),
    "route_not_found": DoorError(404, _INVALID, "There is nothing at this path."),
    "method_not_allowed": DoorError(405, _INVALID, "This path does not take this method."),
    "idempotency_conflict": DoorError(
        409, _INVALID, "This Idempotency-Key was used for another request.", final=True
    ),
    "not_finished": DoorError(409, _INVALID, "The request has not ended yet.", final=True),
    "file_in_use": DoorError(
        409, _INVALID, "A batch that has not ended uses this file; cancel it first.", final=True
    ),
    "batch_not_ended": DoorError(
        409, _INVALID, "The batch has not ended yet; wait for its end, or cancel it.", final=True
    ),
    "body_too_large": DoorError(413, _INVALID, "The body is larger than this server accepts."),
    "file_too_large": DoorError(413, _INVALID, "The file is larger than this server accepts."),
    "tenant_files_full": DoorError(
        413, _INVALID, "Your files take up all the room that you have; delete some first."
    ),
    "range_not_satisfiable": DoorError(416, _INVALID, "The file has no bytes in this range."),
    "line_too_long": DoorError(413, _INVALID, "The line is larger than this server accepts."),
    "unsupported_media_type": DoorError(
        415, _INVALID, "Send the body as application/json, in UTF-8 and without Content-Encoding."
    ),
    "queue_full": DoorError(
        429, _RATE_LIMIT, "Too many requests wait for this model.", retry_after_s=5
    ),
    "tenant_queue_full": DoorError(
        429, _RATE_LIMIT, "Too many of your requests wait; let some end first.", retry_after_s=5
    ),
    "deadline_unreachable": DoorError(
        429,
        _RATE_LIMIT,
        "Too much waits for this model: the deadline would pass before its turn.",
        retry_after_s=60,
    ),
    "backend_failed": DoorError(
        502, "server_error", "The backend failed and no further attempt is left.", final=True
    ),
    "backend_invalid_response": DoorError(
        502, "server_error", "The backend's answer could not be used.", final=True
    ),
    "webhook_unreachable": DoorError(
        502, "server_error", "The webhook endpoint gave no answer.", final=True
    ),
    "backend_timeout": DoorError(
        504, "server_error", "The backend did not answer in time.", final=True
    ),
    "deadline_exceeded": DoorError(
        504, "server_error", "The deadline passed before a backend could serve this.", final=True
    ),
    "request_cancelled": DoorError(
        409, _INVALID, "The request was cancelled before it ended.", final=True
    ),
    "internal_error": DoorError(500, "server_error", "Penstock failed; this is a bug in it."),
    "body_lost": DoorError(
        410, _INVALID, "The body of this request is gone; send it anew.", final=True
    ),
    "result_lost": DoorError(
        410, "server_error", "The result of this request is gone; send it anew.", final=True
    ),
    "queue_unavailable": DoorError(
        503, _UNAVAILABLE, "The queue is not reachable; nothing was accepted.", retry_after_s=2
    ),
    "store_unavailable": DoorError(
        503, _UNAVAILABLE, "The store is not reachable; try again.", retry_after_s=2
    ),
    "blobs_unavailable": DoorError(
        503, _UNAVAILABLE, "The place of files is not reachable; try again.", retry_after_s=2
    ),
    "not_accepted": DoorError(
        503, _UNAVAILABLE, "The request was not accepted; nothing will run.", retry_after_s=2
    ),
    "storage_full": DoorError(
        503, _UNAVAILABLE, "The disk is nearly full; nothing was accepted.", retry_after_s=30
    ),
    "draining": DoorError(
        503, _UNAVAILABLE, "This server is shutting down; try another one.", retry_after_s=2
    ),
    # Of the HTTP server itself, before any route is looked for.
    "bad_request": DoorError(400, _INVALID, "This is not a valid HTTP/1.1 request."),
    "request_timeout": DoorError(
        408, _INVALID, "The request did not arrive in time; send it again without pauses."
    ),
    "uri_too_long": DoorError(414, _INVALID, "The request's path and query are too long."),
    "headers_too_large": DoorError(431, _INVALID, "The request has too many or too long headers."),
    "too_many_connections": DoorError(
        503, _UNAVAILABLE, "This server has too many open connections; try again.", retry_after_s=2
    ),
}

TERMINAL_CODES: dict[str, str] = {
    "backend_failed": "The backend refused the request for good.",
    "backend_invalid_response": "The backend's answers could not be used.",
    "backend_timeout": "The backend did not answer in time.",
    "attempts_exhausted": "Every attempt failed; the last error is in the message.",
    "cancelled": "The request was cancelled.",
    "expired": "The deadline passed before the request was served.",
    "poisoned": "Every worker that ran this request died while running it.",
    "dead_lettered": "RabbitMQ set the message aside.",
    "not_accepted": "The request was refused after its record was made.",
    "body_lost": "The body of this request is gone from the place of blobs.",
    "copy_lost": "The message of this request is gone from RabbitMQ.",
    "model_removed": "The model is no longer served.",
    "stream_interrupted": "The stream broke off after a part of it was shown; send it again.",
}

BATCH_ERRORS: dict[str, str] = {
    "invalid_json_line": "The line is not one JSON object.",
    "missing_custom_id": "`custom_id` is missing: every line needs one, to find its answer by.",
    "invalid_custom_id": "`custom_id` must be a string of 1 to 512 characters without NUL.",
    "duplicate_custom_id": "An earlier line has the same `custom_id`.",
    "invalid_method": '`method` must be "POST".',
    "invalid_url": "`url` must be the batch's endpoint.",
    "url_mismatch": "`url` is another endpoint than the one that the batch was created for.",
    "invalid_body": "`body` is not what the endpoint takes.",
    "model_not_found": "The model of the line is not served here.",
    "model_not_allowed": "The key of the batch does not open the model of the line.",
    "streaming_unsupported": "A line of a batch is not streamed; leave `stream` out.",
    "line_too_long": "The line is longer than a request's body may be.",
    "too_many_lines": "The file has more lines than a batch may have.",
    "empty_file": "The file has no lines; write one JSON object a line.",
    "unreadable_file": "The file is not text in UTF-8.",
    "input_file_missing": "The file is gone; upload it again and create a new batch with it.",
    "more_mistakes": "More mistakes are in the error file.",
}

BATCH_ENDINGS: dict[str, str] = {
    "batch_expired": "This request could not be executed before the completion window expired.",
    "batch_cancelled": "The batch was cancelled before this request had ended.",
}

# The refusal that an end without an answer of a backend stands for, where it is told like a call's.
CALL_ERRORS: dict[str, str] = {
    "backend_timeout": "backend_timeout",
    "backend_invalid_response": "backend_invalid_response",
    "not_accepted": "not_accepted",
    "cancelled": "request_cancelled",
    "expired": "deadline_exceeded",
    "model_removed": "model_not_found",
    "body_lost": "body_lost",
}


class RequestError(PenstockError):
    """A refusal at a door: a row of DOOR_ERRORS with the words for this one case.

    Raises KeyError for a code outside the table, so that no undocumented code can leave.
    """

    def __init__(
        self,
        code: str,
        message: str | None = None,
        param: str | None = None,
        *,
        retry_after_s: int | None = None,
    ) -> None:
        self.kind = DOOR_ERRORS[code]
        self.retry_after_s = self.kind.retry_after_s if retry_after_s is None else retry_after_s
        self.code = code
        self.param = param
        self.message = message or self.kind.sentence
        super().__init__(self.message)

    @property
    def status(self) -> int:
        """The HTTP status of the answer."""
        return self.kind.status

    def as_dict(self) -> dict[str, dict[str, str | None]]:
        """Return OpenAI's error object."""
        return {
            "error": {
                "message": self.message,
                "type": self.kind.type,
                "param": self.param,
                "code": self.code,
            }
        }
