"""Logging: readable lines on a terminal, JSON lines elsewhere; constant messages with fields."""

from __future__ import annotations

import logging
import sys

import structlog

# Local variables would carry prompts and keys into the log.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)
_QUIET = ("aio_pika", "aiormq", "uvicorn", "uvicorn.error", "asyncio")


class _Threshold:
    """Drops what is below the level; a cached logger keeps its own level, but asks this one."""

    level = logging.INFO

    def __call__(
        self, _logger: object, method: str, event: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        if structlog.processors.NAME_TO_LEVEL[method] < self.level:
            raise structlog.DropEvent
        return event


_THRESHOLD = _Threshold()


def set_log_level(level: str) -> None:
    """Drop lines below `level` from now on."""
    _THRESHOLD.level = logging.getLevelNamesMapping()[level.upper()]


def configure_logs(level: str) -> None:
    """Send every log line of this process to standard error, in one form."""
    set_log_level(level)
    on_terminal = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if on_terminal
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            _THRESHOLD,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if on_terminal else "iso", utc=True),
            *([] if on_terminal else [_TRACEBACKS]),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(name)s: %(message)s")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
