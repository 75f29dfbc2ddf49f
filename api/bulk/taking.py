"""Parcels of lines made durable; each line gets its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import orjson
import structlog

from api.admission import Admission, Admitted
from api.auth import Caller
from api.bulk.lines import Parcel, RawLine
from api.exchange import unavailable
from api.intake import Intake
from api.reading import submitted_in_bulk
from api.settings import Settings
from broker.telemetry import REFUSED
from schemas.errors import EngineError, RequestError

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
        admission: Admission,
        settings: Settings,
        caller: Caller,
        key: str | None,
        traceparent: str | None,
    ) -> None:
        self._admission = admission
        self._settings = settings
        self._caller = caller
        self._key = key
        self._traceparent = traceparent

    async def take(self, parcel: Parcel) -> Answered:
        """Return the answers once each line is durable or refused; raises nothing."""
        outcomes = await asyncio.gather(*(self._accepted(line) for line in parcel.lines))
        numbered = zip(parcel.lines, outcomes, strict=True)
        return Answered(
            b"".join(_told(line.number, outcome) for line, outcome in numbered),
            sum(isinstance(outcome, Admitted) for outcome in outcomes),
        )

    async def _accepted(self, line: RawLine) -> Admitted | RequestError:
        try:
            return await self._admission.accept(self._read(line), self._caller)
        except RequestError as error:
            return error
        except EngineError as error:
            return unavailable(error)
        except Exception:  # noqa: BLE001  because the other lines go on, and this one gets an answer
            _log.exception("failed to take a line", line=line.number)
            return RequestError("internal_error")

    def _read(self, line: RawLine) -> Intake:
        if line.data is None:
            most = self._settings.server.max_body_bytes
            raise RequestError("line_too_long", f"The line is over {most} bytes.")
        key = None if self._key is None else f"{self._key}-{line.number}"
        return submitted_in_bulk(line.data, key, self._traceparent, self._settings)


def _told(number: int, outcome: Admitted | RequestError) -> bytes:
    if isinstance(outcome, RequestError):
        return refusal(number, outcome)
    record = outcome.record
    replayed = b',"replayed":true' if outcome.replayed else b""
    return b'{"line":%d,"id":"%s","status":"%s"%s}\n' % (
        number,
        record.id.encode(),
        record.status.value.encode(),
        replayed,
    )


def refusal(number: int, error: RequestError) -> bytes:
    """Return the answer to a line that is not accepted."""
    REFUSED.labels(error.code).inc()
    told = {"line": number, "status_code": error.status, **error.as_dict()}
    if error.retry_after_s is not None:
        told["retry_after_s"] = error.retry_after_s
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
