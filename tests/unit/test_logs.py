"""The level of the log can change while loggers are in use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from cli.logs import configure_logs, set_log_level


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_logger_in_use_follows_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("warning")
    log = structlog.get_logger("test")
    log.info("too low")
    set_log_level("debug")
    log.debug("now shown")
    set_log_level("error")
    log.warning("too low again")
    told = capsys.readouterr().err
    assert "now shown" in told
    assert "too low" not in told
