"""The form of an upload: however it is cut, in whatever order its parts come."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.files.asked import FIELDS, AskedUpload, asked_upload
from api.files.form import UploadForm
from schemas.errors import RequestError

BOUNDARY = b"a-boundary"
KIND = "multipart/form-data; boundary=a-boundary"
PURPOSE = ("purpose", None, b"batch")
FILE = ("file", "in.jsonl", b'{"custom_id": "1"}\n')
ANCHOR = ("expires_after[anchor]", None, b"created_at")
SECONDS = ("expires_after[seconds]", None, b"3600")

Part = tuple[str, str | None, bytes]


def form_of(*parts: Part, end: bytes = b"--") -> bytes:
    lines: list[bytes] = []
    for name, filename, content in parts:
        says = f'form-data; name="{name}"'
        if filename is not None:
            says += f'; filename="{filename}"'
        lines += [b"--" + BOUNDARY, b"Content-Disposition: " + says.encode(), b"", content]
    return b"\r\n".join([*lines, b"--" + BOUNDARY + end, b""])


def read(raw: bytes, *cuts: int, kind: str = KIND) -> tuple[AskedUpload, bytes]:
    form = UploadForm(kind, FIELDS)
    edges = [0, *sorted(cuts), len(raw)]
    pieces = [raw[start:end] for start, end in pairwise(edges)]
    content = b"".join(piece for each in pieces for piece in form.feed(each))
    form.end()
    return asked_upload(form), content


def refused(raw: bytes, kind: str = KIND) -> RequestError:
    with pytest.raises(RequestError) as raised:
        read(raw, kind=kind)
    return raised.value


@pytest.mark.parametrize("parts", list(permutations([PURPOSE, ANCHOR, SECONDS, FILE])))
def test_the_parts_come_in_any_order(parts: tuple[Part, ...]) -> None:
    assert read(form_of(*parts)) == (AskedUpload("batch", "in.jsonl", 3_600.0), FILE[2])


@given(
    content=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"\r\n", b"--", b"--a-bound", b"\r\n--a-boundar", b"\r", b"\x00"]),
        )
    ).map(b"".join),
    cuts=st.lists(st.integers(0, 400), max_size=6),
)
def test_a_file_arrives_as_it_was_sent_however_it_is_cut(content: bytes, cuts: list[int]) -> None:
    raw = form_of(("file", "x", content), PURPOSE)
    asked, arrived = read(raw, *(min(cut, len(raw)) for cut in cuts))
    assert (asked, arrived) == (AskedUpload("batch", "x", None), content)


def test_what_comes_after_the_form_is_passed_over() -> None:
    assert read(form_of(PURPOSE, FILE) + b"epilogue")[1] == FILE[2]


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc/passwd", "a" * 1_000, "\u202egnp.exe", "%0d%0aSet-Cookie: a=b", "ä.jsonl"],
)
def test_a_name_is_kept_as_it_is(name: str) -> None:
    assert read(form_of(PURPOSE, ("file", name, b"")))[0].filename == name


def test_of_a_windows_path_the_name_is_kept() -> None:
    # Old browsers send the whole path of what they upload.
    assert read(form_of(PURPOSE, ("file", "C:\\in.jsonl", b"")))[0].filename == "in.jsonl"


@pytest.mark.parametrize(
    ("parts", "code", "param"),
    [
        ([PURPOSE], "invalid_body", "file"),
        ([FILE], "invalid_body", "purpose"),
        ([PURPOSE, FILE, FILE], "duplicate_key", "file"),
        ([PURPOSE, PURPOSE, FILE], "duplicate_key", "purpose"),
        ([PURPOSE, ("file", None, b"in.jsonl")], "invalid_body", "file"),
        ([PURPOSE, ("file", "", b"")], "invalid_body", "file"),
        ([PURPOSE, ("file", "a" * 10_000, b"")], "invalid_body", "file"),
        ([PURPOSE, ("file", "a\x00b", b"")], "invalid_body", "file"),
        ([("purpose", None, b"batch_output"), FILE], "invalid_body", "purpose"),
        ([("purpose", None, b"\xff"), FILE], "invalid_body", "purpose"),
        ([("purpose", None, b"b" * 1_025), FILE], "invalid_body", "purpose"),
        ([PURPOSE, FILE, ("model", None, b"m")], "invalid_body", "model"),
        ([PURPOSE, SECONDS, FILE], "invalid_body", ANCHOR[0]),
        ([PURPOSE, ANCHOR, FILE], "invalid_body", SECONDS[0]),
        ([PURPOSE, ANCHOR, (SECONDS[0], None, b"3599"), FILE], "invalid_body", SECONDS[0]),
        ([PURPOSE, ANCHOR, (SECONDS[0], None, b"2592001"), FILE], "invalid_body", SECONDS[0]),
        ([PURPOSE, ANCHOR, (SECONDS[0], None, b"1e4"), FILE], "invalid_body", SECONDS[0]),
        ([PURPOSE, (ANCHOR[0], None, b"last_active_at"), SECONDS, FILE], "invalid_body", ANCHOR[0]),
    ],
)
def test_what_cannot_be_used_is_named(parts: list[Part], code: str, param: str) -> None:
    error = refused(form_of(*parts))
    assert (error.code, error.param) == (code, param)


def test_a_name_that_ends_its_header_is_a_broken_form() -> None:
    assert refused(form_of(PURPOSE, ("file", "a\r\nb", b""))).code == "invalid_body"


@pytest.mark.parametrize(
    "raw",
    [
        form_of(PURPOSE, FILE)[:-6],
        form_of(PURPOSE, FILE, end=b""),
        b"",
        b"--other\r\n\r\n",
        b'{"purpose": "batch"}',
        b"--a-boundary\r\n: no name\r\n\r\nx\r\n--a-boundary--\r\n",
    ],
)
def test_a_form_that_is_none_or_breaks_off_is_refused(raw: bytes) -> None:
    assert refused(raw).code == "invalid_body"


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/mixed"])
def test_another_media_type_is_refused(kind: str) -> None:
    assert refused(b"", kind).code == "unsupported_media_type"
