"""The name in a body: replaced exactly, whatever way the body writes it."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.body import read_object
from schemas.envelope import Envelope
from tests.fakes.envelopes import make_envelope
from workers.routing.names import name_at, with_model
from workers.routing.targets import Target

NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def asking(name: str, route: str) -> Envelope:
    """Return the envelope of a JSON body that asks for `name` on `route`."""
    body = b'{ "x":1.50, "model" : ' + orjson.dumps(name) + b' , "y":[] }'
    return make_envelope(model=route, body=body, model_span=read_object(body).spans["model"])


def form_asking(name: str, route: str) -> Envelope:
    """Return the envelope of a form whose part `model` asks for `name`."""
    head = b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\n'
    tail = b'\r\n--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n\xff\x00\r\n--B--\r\n'
    span = (len(head), len(head) + len(name.encode()))
    return make_envelope(
        model=route,
        body=head + name.encode() + tail,
        content_type="multipart/form-data; boundary=B",
        model_span=span,
    )


def test_only_the_models_bytes_are_replaced() -> None:
    body = b'{ "model" : "a" , "x":1.50}'
    envelope = make_envelope(model="a", body=body, model_span=(12, 15))
    assert with_model(envelope, 'b"c') == b'{ "model" : "b\\"c" , "x":1.50}'
    assert with_model(envelope, "a") is body


def test_an_alias_is_replaced_by_its_model() -> None:
    envelope = asking("gpt-4", route="llama")
    name = name_at(Target("b", "llama"), envelope)
    assert read_object(with_model(envelope, name)).members["model"] == "llama"


@pytest.mark.parametrize(
    ("target", "called"),
    [("llama-*", "llama-3"), ("meta/*-it", "meta/3-it"), ("one-for-all", "one-for-all")],
)
def test_a_wildcard_is_filled_with_what_was_asked(target: str, called: str) -> None:
    assert name_at(Target("b", target), asking("llama-3", route="llama-*")) == called


def test_a_body_that_holds_no_model_keeps_its_bytes() -> None:
    envelope = make_envelope(model="m")
    assert with_model(envelope, name_at(Target("b", "*"), envelope)) is envelope.body


@given(NAMES, NAMES)
def test_any_name_can_replace_any_other_in_json(asked: str, called: str) -> None:
    envelope = asking(asked, route="*")
    assert name_at(Target("b", "*"), envelope) == asked
    members = read_object(with_model(envelope, called)).members
    assert members == {"x": 1.5, "model": called, "y": []}


@given(NAMES, NAMES)
def test_in_a_form_the_name_is_written_raw(asked: str, called: str) -> None:
    envelope = form_asking(asked, route="*")
    assert name_at(Target("b", "*"), envelope) == asked
    start, end = envelope.model_span or (0, 0)
    changed = with_model(envelope, called)
    assert changed == envelope.body[:start] + called.encode() + envelope.body[end:]
