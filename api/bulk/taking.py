"""Parcels of lines made durable; each line gets its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import orjson
import structlog

from api.auth import Caller
from api.bulk.accepting import Accepted, Accepting, Outcome
from api.bulk.lines import Parcel, RawLine
from api.exchange import unavailable
from api.intake import Intake
from api.reading import submitted_in_bulk
from api.settings import Settings
from broker.telemetry import REFUSED
from schemas.errors import EngineError, RequestError

# The event loop waits for so many lines.
_READ_AT_ONCE = 64
_log = structlog.get_logger("penstock.bulk")


@dataclass(frozen=True, slots=True)
class Answered:
    """The answers to a parcel, one line each, and how many of its lines were accepted."""

    text: bytes
    accepted: int


class Taker:
    """Takes the parcels of one upload."""

    def __init__(
        self,
        accepting: Accepting,
        settings: Settings,
        caller: Caller,
        key: str | None,
        traceparent: str | None,
    ) -> None:
        self._accepting = accepting
        self._settings = settings
        self._caller = caller
        self._key = key
        self._traceparent = traceparent

    async def take(self, parcel: Parcel) -> Answered:
        """Return the answers once each line is durable or refused."""
        read: list[Intake | RequestError] = []
        for line in parcel.lines:
            read.append(self._read(line))
            if not len(read) % _READ_AT_ONCE:
                await asyncio.sleep(0)
        intakes = [each for each in read if isinstance(each, Intake)]
        try:
            accepted: Iterator[Outcome] = iter(
                await self._accepting.accept(intakes, self._caller) if intakes else ()
            )
        except Exception:  # noqa: BLE001  because whatever fails, each line gets its answer
            _log.exception("failed to take lines", first=parcel.lines[0].number)
            accepted = repeat(RequestError("internal_error"))
        outcomes = [next(accepted) if isinstance(each, Intake) else each for each in read]
        numbered = zip(parcel.lines, outcomes, strict=True)
        return Answered(
            b"".join([_told(line.number, outcome) for line, outcome in numbered]),
            sum(isinstance(outcome, Accepted) for outcome in outcomes),
        )

    def _read(self, line: RawLine) -> Intake | RequestError:
        if line.data is None:
            most = self._settings.server.max_body_bytes
            return RequestError("line_too_long", f"The line is over {most} bytes.")
        key = None if self._key is None else f"{self._key}-{line.number}"
        try:
            return submitted_in_bulk(line.data, key, self._traceparent, self._settings)
        except RequestError as error:
            return error
        except Exception:  # noqa: BLE001  because the other lines go on, and this one gets an answer
            _log.exception("failed to read a line", line=line.number)
            return RequestError("internal_error")


def _told(number: int, outcome: Outcome) -> bytes:
    if isinstance(outcome, Accepted):
        return b'{"line":%d,"id":"%s","status":"%s"%s}\n' % (
            number,
            outcome.id.encode(),
            outcome.status.value.encode(),
            b',"replayed":true' if outcome.replayed else b"",
        )
    return refusal(number, unavailable(outcome) if isinstance(outcome, EngineError) else outcome)


def refusal(number: int, error: RequestError) -> bytes:
    """Return the answer to a line that is not accepted."""
    REFUSED.labels(error.code).inc()
    told = {"line": number, "status_code": error.status, **error.as_dict()}
    if error.retry_after_s is not None:
        told["retry_after_s"] = error.retry_after_s
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
