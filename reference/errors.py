"""The page of the errors: each refusal at a door, and each code that a request can end with."""

from __future__ import annotations

from reference.advice import DOOR_ADVICE, ENDING_ADVICE
from reference.markdown import code, head, table
from schemas.errors import DOOR_ERRORS, TERMINAL_CODES, DoorError

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
    )


def _said(row: DoorError) -> str:
    notes = [f"Retry-After: {row.retry_after_s}"] if row.retry_after_s else []
    notes += ["final"] if row.final else []
    return f"{row.sentence} *{', '.join(notes)}*" if notes else row.sentence
