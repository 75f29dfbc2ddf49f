"""The page of the errors: each refusal at a door, and each code that a request can end with."""

from __future__ import annotations

from collections.abc import Mapping

from reference.advice import BATCH_ADVICE, DOOR_ADVICE, ENDING_ADVICE
from reference.markdown import code, head, table
from schemas.errors import BATCH_ENDINGS, BATCH_ERRORS, DOOR_ERRORS, TERMINAL_CODES, DoorError

_INTRO = """
## Refused at the door

Every refusal has OpenAI's shape; `code` is one of the table, `message` says what is wrong in this
one case:

```json
{
  "error": {
    "message": "This model is not served here.",
    "type": "invalid_request_error",
    "param": null,
    "code": "model_not_found"
  }
}
```

*Retry-After* is sent with the seconds that stand in the table. *Final* answers carry
`x-should-retry: false`, which keeps the OpenAI SDKs from sending the call again by themselves.
A backend's own final answer of 4xx is none of these: it reaches a held call byte for byte.
"""
_ENDED = """
## How a request can end

The `error.code` of a request that is `failed`, `cancelled` or `expired`. A held call answers the
row above with the same meaning.
"""
_FILES = """
## What can be wrong with a batch's file

A batch whose file has a mistake is `failed`, and nothing of it runs. `errors.data` of the batch
names the first hundred, each with its line; its error file has a line for every one.
"""
_LINES = """
## How a line of a batch can end

The `error.code` of a line in the error file is one of [those above](#how-a-request-can-end), or
one of these.
"""


def page() -> str:
    """Return the page. Raises KeyError for a code without a word on what to do."""
    doors = [
        (code(name), str(row.status), code(row.type), _said(row), DOOR_ADVICE[name])
        for name, row in sorted(DOOR_ERRORS.items(), key=lambda item: item[1].status)
    ]
    ends = [(code(name), said, ENDING_ADVICE[name]) for name, said in TERMINAL_CODES.items()]
    return (
        f"{head('Errors', 'schemas/errors.py')}{_INTRO}\n"
        f"{table(('code', 'status', 'type', 'sentence', 'what to do'), doors)}\n"
        f"{_ENDED}\n{table(('code', 'sentence', 'what to do'), ends)}\n"
        f"{_FILES}\n{_of_batches(BATCH_ERRORS)}\n"
        f"{_LINES}\n{_of_batches(BATCH_ENDINGS)}\n"
    )


def _of_batches(codes: Mapping[str, str]) -> str:
    rows = [(code(name), said, BATCH_ADVICE[name]) for name, said in codes.items()]
    return table(("code", "sentence", "what to do"), rows)


def _said(row: DoorError) -> str:
    notes = [f"Retry-After: {row.retry_after_s}"] if row.retry_after_s else []
    notes += ["final"] if row.final else []
    return f"{row.sentence} *{', '.join(notes)}*" if notes else row.sentence
