"""The tables of errors and of states hold together."""

from __future__ import annotations

import pytest

from schemas.errors import DOOR_ERRORS, RequestError
from schemas.lifecycle import TERMINAL, TRANSITIONS, Status


@pytest.mark.parametrize("code", DOOR_ERRORS)
def test_every_refusal_has_openais_shape_and_a_sentence(code: str) -> None:
    error = RequestError(code)
    assert error.as_dict() == {
        "error": {
            "message": error.message,
            "type": DOOR_ERRORS[code].type,
            "param": None,
            "code": code,
        }
    }
    assert error.message.endswith(".")
    assert 400 <= error.status < 600


def test_a_code_outside_the_table_cannot_leave() -> None:
    with pytest.raises(KeyError):
        RequestError("surprise")


def test_terminal_states_never_change_and_all_are_reached() -> None:
    assert {Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED} == TERMINAL
    for status in (Status.QUEUED, Status.IN_PROGRESS):
        assert TRANSITIONS[status] > TERMINAL
