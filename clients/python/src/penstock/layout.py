"""How records are laid out in Redis: a contract with a version; no I/O."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

from penstock.errors import NotInRedis, PenstockError, UnknownLayout
from penstock.shapes import DEFAULT_ENDPOINT, Request, Result

VERSION = 1
_MAX_INLINE_BYTES = 1024 * 1024
_MAX_RESULT_BYTES = 64 * 1024 * 1024
_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 1.0


def version_key(namespace: str) -> str:
    """Return the key that holds the layout's version."""
    return f"{{{namespace}:layout}}:version"


def keys_of(namespace: str, request_id: str) -> tuple[str, str]:
    """Return the keys of a request's record and of its result. Raises PenstockError for no id."""
    partition = request_id[4:6]
    if not request_id.startswith("req_") or not partition.isalnum():
        raise PenstockError(f"this is no request's id: {request_id!r}")
    tag = f"{{{namespace}:p{partition}}}"
    return f"{tag}:rec:{request_id}", f"{tag}:res:{request_id}"


def check_version(found: bytes | str | None, namespace: str) -> None:
    """Raise UnknownLayout for a Redis that is laid out otherwise."""
    if found is None:
        raise UnknownLayout(
            f"no Penstock has written to this Redis under the namespace {namespace}"
        )
    if int(found) != VERSION:
        raise UnknownLayout(f"the layout is version {int(found)}, this reads {VERSION}")


def pauses() -> Iterator[float]:
    """Yield how long to wait before each next look, in seconds."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 1.5, _LONGEST_PAUSE_S)


def known(found: Stored | None, request_id: str) -> Stored:
    """Return what was found. Raises PenstockError if nothing was."""
    if found is None:
        raise PenstockError(f"no request has the id {request_id}, or its retention has passed")
    return found


@dataclass(frozen=True, slots=True)
class Stored:
    """A request and the bytes of its answer, if there are any.

    Those of an answer over 256 KiB lie elsewhere (`elsewhere`): they are fetched by HTTP.
    """

    request: Request
    content: bytes | None
    elsewhere: bool = False

    @classmethod
    def of(
        cls, request_id: str, fields: Mapping[bytes, bytes], packed: bytes | None
    ) -> Stored | None:
        """Return what a record's hash and its result hold; None for no record or an expired one."""
        if not fields or float(fields.get(b"expires_at", "inf")) <= time.time():
            return None
        result = msgpack.unpackb(packed, max_bin_len=_MAX_RESULT_BYTES) if packed else {}
        content = result.get("body")
        elsewhere = content is None and result.get("body_blob") is not None
        request = Request.of({**_record(request_id, fields), **_end(result, content)})
        return cls(request, content, elsewhere)

    def result(self) -> Result:
        """Return the result of a completed request. Raises NotInRedis for a large one."""
        if self.elsewhere:
            raise NotInRedis(self.request)
        return Result(self.request, _read(self.content or b"", keep=self.content))


def _record(request_id: str, fields: Mapping[bytes, bytes]) -> dict[str, Any]:
    metadata = fields.get(b"metadata")
    return {
        "id": request_id,
        "object": "request",
        **{name: fields[name.encode()].decode() for name in ("status", "model", "tenant")},
        "endpoint": fields.get(b"endpoint", DEFAULT_ENDPOINT.encode()).decode(),
        "priority": fields[b"priority"].decode(),
        "attempts": int(fields.get(b"attempt", 0)),
        "created_at": _instant(fields, b"accepted_at"),
        "metadata": msgpack.unpackb(metadata) if metadata else {},
        **{
            name: _instant(fields, name.encode())
            for name in ("deadline", "not_before", "started_at", "finished_at", "expires_at")
        },
    }


def _end(result: Mapping[str, Any], content: bytes | None) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if result.get("backend") is not None:
        told["target"] = {"backend": result["backend"], "model": result.get("backend_model")}
    if result.get("status_code") is not None:
        inline = content if content is not None and len(content) <= _MAX_INLINE_BYTES else None
        body = None if inline is None else _read(inline, keep=inline.decode(errors="replace"))
        told["response"] = {"status_code": result["status_code"], "body": body}
    if result.get("code") is not None:
        message = result.get("message") or result["code"]
        told["error"] = {"type": "request_failed", "code": result["code"], "message": message}
    if result.get("usage"):
        names = ("input_tokens", "output_tokens", "total_tokens")
        told["usage"] = dict(zip(names, result["usage"], strict=True))
    return told


def _read(content: bytes, *, keep: Any) -> Any:
    """Return the JSON in `content`, or `keep` if it is something else."""
    try:
        return json.loads(content)
    except ValueError:
        return keep


def _instant(fields: Mapping[bytes, bytes], name: bytes) -> float | None:
    value = fields.get(name)
    return round(float(value), 3) or None if value is not None else None
