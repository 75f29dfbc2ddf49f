"""What RabbitMQ's answers become: drift with a way out, dead letters with a reason, versions."""

from __future__ import annotations

import pytest

from broker.amqp.adapter import AmqpQueue
from broker.amqp.connection import _refuse_too_old
from broker.amqp.dead_letters import read
from broker.amqp.declare import drift
from schemas.codec import encode
from schemas.errors import ConfigError, QueueUnavailable
from tests.fakes.envelopes import make_envelope


def test_drift_names_queue_argument_and_way_out() -> None:
    told = drift(
        "PRECONDITION_FAILED - inequivalent arg 'x-message-ttl' for queue 'p.retry.1s' in vhost "
        "'/': received the value '1000' of type 'signedint' but current is the value '2000'",
        "p.retry.1s",
    )
    assert str(told) == (
        "Queue p.retry.1s exists with another `x-message-ttl` than Penstock declares (received the "
        "value '1000' of type 'signedint' but current is the value '2000'). Drain and delete it, "
        "or give Penstock another namespace."
    )


def test_drift_in_other_words_is_passed_on() -> None:
    told = str(drift("PRECONDITION_FAILED - something new", "p.work"))
    assert told.startswith("RabbitMQ refuses to declare p.work: PRECONDITION_FAILED")
    assert told.endswith("another namespace.")


def test_a_letter_tells_its_last_death() -> None:
    envelope = make_envelope()
    deaths = [{"reason": "delivery_limit", "queue": "q"}, {"reason": "expired", "queue": "t"}]
    letter = read(encode(envelope), {"x-death": deaths, "x-first-death-reason": "expired"})
    assert letter.envelope == envelope
    assert letter.reason == "delivery_limit from q"


@pytest.mark.parametrize("deaths", [None, [], {}, "x", [None], [{}], 7])
def test_a_letter_with_odd_headers_is_a_letter(deaths: object) -> None:
    letter = read(b"odd", {"x-death": deaths})
    assert letter.envelope is None
    assert letter.body == b"odd"
    assert letter.reason


@pytest.mark.parametrize("version", ["3.9.29", "3.8", "2.0.0"])
def test_an_old_server_is_refused(version: str) -> None:
    with pytest.raises(QueueUnavailable, match=r"needs 3\.10"):
        _refuse_too_old(version)


@pytest.mark.parametrize("version", ["3.10.8", "3.13.0", "4.0.1", "4.3.7-rc.1", "unknown", ""])
def test_a_new_or_unknown_server_is_taken(version: str) -> None:
    _refuse_too_old(version)


@pytest.mark.parametrize("url", ["", "redis://localhost", "localhost:5672"])
async def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        AmqpQueue(url)
