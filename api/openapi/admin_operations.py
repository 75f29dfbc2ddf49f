"""The table of the operations under /admin/v1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from api.auth import Access
from api.openapi import examples
from api.openapi.operation import Answer, Operation
from api.openapi.operations import BODY_ERRORS, CANCELS_SOME
from api.openapi.parameters import PAGE

_LETTERS = "/admin/v1/dead-letters"
# The state that each verb leads to, and what that means for a model and for a backend.
_VERBS = {
    "pause": ("paused", "it accepts and starts nothing", "nothing starts there"),
    "drain": (
        "draining",
        "it refuses new requests and serves what waits",
        "nothing starts there, and what waits for it goes to the model's other targets",
    ),
    "resume": ("running", "it accepts and starts again", "what waits for it may start"),
}
_LETTER_ERRORS = ("request_not_found", "store_unavailable")


def _operation(
    operation_id: str,
    route: str,
    summary: str,
    answer: tuple[str, Any],
    errors: Sequence[str],
    *,
    parameters: Sequence[str] = (),
    status: int = 200,
) -> Operation:
    method, path = route.split()
    return Operation(
        operation_id,
        method,
        path,
        "Admin",
        summary,
        {status: Answer(*answer)},
        errors,
        parameters,
        access=Access.ADMIN,
    )


def _switches() -> Iterator[Operation]:
    """Return pause, resume and drain of models and of backends."""
    for verb, (state, model_does, backend_does) in _VERBS.items():
        yield _operation(
            f"admin{verb.title()}Model",
            f"post /admin/v1/models/{{name}}/{verb}",
            f"{verb.title()} a model: {model_does}",
            ("AdminModel", {**examples.ADMIN_MODEL, "state": state}),
            ("model_not_found", "queue_unavailable", "store_unavailable"),
            parameters=("name",),
        )
        yield _operation(
            f"admin{verb.title()}Backend",
            f"post /admin/v1/backends/{{name}}/{verb}",
            f"{verb.title()} a backend: {backend_does}",
            ("AdminBackend", {**examples.ADMIN_BACKEND, "state": state}),
            ("backend_not_found", "store_unavailable"),
            parameters=("backend",),
        )


ADMIN = (
    _operation(
        "adminListModels",
        "get /admin/v1/models",
        "Every model, its targets and its load",
        ("AdminModelList", examples.ADMIN_MODELS),
        ("queue_unavailable", "store_unavailable"),
    ),
    _operation(
        "adminListBackends",
        "get /admin/v1/backends",
        "Every backend and its slots",
        ("AdminBackendList", examples.ADMIN_BACKENDS),
        ("store_unavailable",),
    ),
    *_switches(),
    _operation(
        "adminListQueues",
        "get /admin/v1/queues",
        "Every queue and what waits in it",
        ("AdminQueueList", examples.ADMIN_QUEUES),
        ("queue_unavailable",),
    ),
    Operation(
        "adminCancelRequests",
        "post",
        "/admin/v1/requests/cancel",
        "Admin",
        "Cancel open requests of a tenant, or of all, that fit a filter",
        {200: Answer("RequestsCancelled", examples.REQUESTS_CANCELLED)},
        (*BODY_ERRORS, "store_unavailable"),
        body="CancelAnyRequests",
        example=examples.CANCEL_ANY,
        description=CANCELS_SOME,
        access=Access.ADMIN,
    ),
    _operation(
        "adminListDeadLetters",
        f"get {_LETTERS}",
        "Requests that ended with their envelope kept",
        ("DeadLetterList", examples.DEAD_LETTER_LIST),
        ("invalid_body", "store_unavailable"),
        parameters=(*PAGE, "model", "tenant", "created_after", "created_before"),
    ),
    _operation(
        "adminReadDeadLetter",
        f"get {_LETTERS}/{{id}}",
        "A dead letter with the body that the client sent",
        ("DeadLetterWhole", examples.DEAD_LETTER_WHOLE),
        (*_LETTER_ERRORS, "blobs_unavailable"),
        parameters=("id",),
    ),
    _operation(
        "adminRedriveDeadLetter",
        f"post {_LETTERS}/{{id}}/redrive",
        "Make a new request of a dead letter, once",
        ("DeadLetter", examples.REDRIVEN),
        (
            *_LETTER_ERRORS,
            "model_not_found",
            "body_lost",
            "blobs_unavailable",
            "queue_unavailable",
            "storage_full",
            "not_accepted",
            "draining",
        ),
        parameters=("id",),
        status=202,
    ),
    _operation(
        "adminPurgeDeadLetter",
        f"delete {_LETTERS}/{{id}}",
        "Drop a dead letter's envelope; its request stays as it was told",
        ("DeadLetterPurged", examples.PURGED),
        _LETTER_ERRORS,
        parameters=("id",),
    ),
    _operation(
        "adminListForeignLetters",
        f"get {_LETTERS}/foreign",
        "Messages in Penstock's queues that are not Penstock's",
        ("ForeignLetterList", examples.FOREIGN_LETTERS),
        ("store_unavailable",),
    ),
    _operation(
        "adminPurgeForeignLetters",
        f"delete {_LETTERS}/foreign",
        "Drop those messages",
        ("ForeignLettersPurged", examples.FOREIGN_PURGED),
        ("store_unavailable",),
    ),
)
