"""What the fields of an upload ask for; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from api.files.form import UploadForm
from schemas.batch_wire import LEAST_KEPT_S, MOST_KEPT_S, UPLOAD_PURPOSES
from schemas.errors import RequestError

_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
FIELDS = ("purpose", _ANCHOR, _SECONDS)
_MAX_NAME_CHARACTERS = 1_000


@dataclass(frozen=True, slots=True)
class AskedUpload:
    """How a file is to be kept; `kept_s` is None where the form does not say."""

    purpose: str
    filename: str
    kept_s: float | None


def asked_upload(form: UploadForm) -> AskedUpload:
    """Return what a form that has come whole asks for. Raises RequestError."""
    fields = form.fields
    purpose = fields.get("purpose")
    if purpose not in UPLOAD_PURPOSES:
        said = "is missing" if purpose is None else "is none of these"
        allowed = ", ".join(UPLOAD_PURPOSES)
        raise RequestError("invalid_body", f"`purpose` {said}: {allowed}.", "purpose")
    return AskedUpload(purpose, _checked_name(form.file_name), _kept_s(fields))


def _checked_name(name: str) -> str:
    """Return a name that is only ever told again: it is no path of ours."""
    if not 0 < len(name) <= _MAX_NAME_CHARACTERS:
        raise RequestError(
            "invalid_body",
            f"The name of `file` must have 1 to {_MAX_NAME_CHARACTERS} characters.",
            "file",
        )
    if "\x00" in name:
        raise RequestError("invalid_body", "The name of `file` must not contain NUL.", "file")
    return name


def _kept_s(fields: Mapping[str, str]) -> float | None:
    anchor, seconds = fields.get(_ANCHOR), fields.get(_SECONDS)
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise RequestError("invalid_body", f"`{_ANCHOR}` must be created_at.", _ANCHOR)
    digits = seconds is not None and seconds.isascii() and seconds.isdigit()
    kept_s = int(seconds[:9]) if seconds is not None and digits else 0
    if not LEAST_KEPT_S <= kept_s <= MOST_KEPT_S:
        raise RequestError(
            "invalid_body", f"`{_SECONDS}` must be {LEAST_KEPT_S} to {MOST_KEPT_S}.", _SECONDS
        )
    return float(kept_s)
