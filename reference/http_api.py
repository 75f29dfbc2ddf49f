"""The HTTP API's page: one section an operation, from the tables of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from shlex import quote
from typing import Any

from api.auth import Access
from api.openapi.batch_examples import BATCH_ID, FILE_ID
from api.openapi.document import OPERATIONS, build_document
from api.openapi.examples import BACKEND, MODEL, REQUEST_ID
from api.openapi.message_operations import MESSAGE_BATCH_ID
from api.openapi.operation import EVENT_STREAM, Answer, Operation
from api.openapi.parameters import HEADERS, PARAMETERS
from api.openapi.response_operations import RESPONSES
from api.openapi.webhook_examples import DELIVERY_ID, ENDPOINT_ID
from reference.markdown import block, code, head, noted, table

URL = "http://127.0.0.1:8080"
_INTRO = """
The same as `/openapi.json` of a running server, to read. Every path below `/v1` also answers
without it. Errors have one table, [errors](errors.md), and one shape, but for those below
`/v1/messages`, which have Anthropic's.

A key is sent as `Authorization: Bearer psk_…`, or as `x-api-key: psk_…`. While no key is configured
none is asked for, and the server listens on loopback addresses only. Paths below `/admin/v1` need
the admin key.
"""
_FURTHER = """
### Further endpoints

Each path listed under `endpoints` in the configuration is a call like those above, passed through
to the backend with its body, JSON or multipart, and answered with the backend's bytes and type. See
[models and routing](../guide/models.md#further-endpoints).
"""
# Of paths whose `{id}` is no request's.
_MADE_OF_OTHERS = ("/v1/files", "/v1/batches")
_IDS = {
    "batch": BATCH_ID,
    "file": FILE_ID,
    "message_batch": MESSAGE_BATCH_ID,
    "webhook_endpoint": ENDPOINT_ID,
    "webhook_delivery": DELIVERY_ID,
}


def page() -> str:
    """Return the page."""
    sections = [_tag(name, said) for name, said in _tags()]
    requests, calls, *rest = sections
    parts = [requests, calls + "\n" + _FURTHER, *rest]
    return f"{head('HTTP API', 'api/openapi')}{_INTRO}\n" + "\n".join(parts)


def _tags() -> list[tuple[str, str]]:
    return [(each["name"], each["description"]) for each in build_document(())["tags"]]


def _tag(name: str, said: str) -> str:
    # The guide tells of Responses, whose shapes are OpenAI's own.
    told = (each for each in OPERATIONS if each not in RESPONSES)
    operations = [each for each in told if each.tag == name]
    sections = "\n".join("\n".join(_section(each)) for each in operations)
    return f"## {name}\n\n{said}\n\n{sections}"


def _section(operation: Operation) -> Iterator[str]:
    yield f"### {operation.method.upper()} {operation.path}\n"
    yield f"{operation.summary}.\n"
    if operation.description:
        yield f"{operation.description}\n"
    if _asks_for_ones_own(operation):
        yield "<!-- not run: it needs a file or a batch of one's own -->"
    yield block("sh", curl(operation)) + "\n"
    if operation.parameters:
        yield table(("parameter", "in", "what it is"), map(_parameter, operation.parameters)) + "\n"
    for status, answer in operation.answers.items():
        yield from _answer(status, answer)
    if operation.errors:
        yield f"Errors: {', '.join(map(code, operation.errors))}.\n"


def _asks_for_ones_own(operation: Operation) -> bool:
    """Tell whether its example names something that is not there before somebody has made it."""
    makes = operation.method == "post" and operation.path in _MADE_OF_OTHERS
    return makes or ("{id}" in operation.path and operation.path.startswith(_MADE_OF_OTHERS))


def curl(operation: Operation) -> str:
    """Return a command that calls the operation with its example."""
    name = BACKEND if "backend" in operation.parameters else MODEL
    shown = next((_IDS[each] for each in operation.parameters if each in _IDS), REQUEST_ID)
    path = operation.path.replace("{id}", shown).replace("{name}", name)
    query = "?wait=30" if "wait" in operation.parameters else ""
    method = {"get": "", "post": "-X POST ", "delete": "-X DELETE "}[operation.method]
    sends = operation.body is not None or bool(operation.form)
    lines = [f"curl {'' if sends else method}'{URL}{path}{query}'"]
    if operation.access is Access.ADMIN:
        lines.append('-H "Authorization: Bearer $PENSTOCK_ADMIN_KEY"')
    if operation.body is not None:
        lines.append(f"-H 'Content-Type: {operation.body_kind}'")
        lines.append(_sent(operation.example))
    lines += [f"-F {quote(f'{name}={value}')}" for name, value in operation.form.items()]
    return " \\\n  ".join(lines)


def _sent(example: Any) -> str:
    if isinstance(example, str):
        return f"--data-binary {quote(example.rstrip())}"
    return f"-d {quote(json.dumps(example))}"


def _parameter(name: str) -> tuple[str, str, str]:
    parameter = PARAMETERS[name]
    notes = [f"{key} {value}" for key, value in parameter["schema"].items() if key == "default"]
    notes += ["required"] if parameter.get("required") else []
    return code(parameter["name"]), parameter["in"], noted(parameter["description"], notes)


def _answer(status: int, answer: Answer) -> Iterator[str]:
    yield f"Answers **{status}**: {_said(answer)}\n"
    if answer.headers:
        rows = [(code(name), str(HEADERS[name]["description"])) for name in answer.headers]
        yield table(("header", "what it says"), rows) + "\n"
    if isinstance(answer.example, str):
        yield block("text", answer.example.rstrip("\n")) + "\n"
    elif answer.example is not None and status < 300:
        yield block("json", json.dumps(answer.example, indent=2)) + "\n"
    if answer.streamed is not None:
        yield f"Streamed, as {EVENT_STREAM}:\n"
        yield block("text", answer.streamed.rstrip("\n")) + "\n"


def _said(answer: Answer) -> str:
    schema: Any = answer.schema
    named = f"`{schema}`" if isinstance(schema, str) else answer.kind
    return named + "." if answer.said == "OK" else f"{named}. {answer.said}"
