"""A Responses request made ready for a worker: checked, and with the conversation before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from api.auth import Caller
from api.catalog import Catalog
from api.intake import Intake
from api.responses.items import input_of
from api.responses.stored import members_of, response_in
from api.settings import Settings
from broker import large_bodies
from broker.ports import Engine
from schemas.body import JsonObject, read_object
from schemas.errors import RequestError
from schemas.ids import is_request_id, request_id_of
from schemas.lifecycle import Status
from schemas.responses.asked import check_common, read_asked
from schemas.responses.told import ENDPOINT

_PREVIOUS = "previous_response_id"


class Preparing:
    """Part of Admission: what every door does with a Responses request before it is durable."""

    def __init__(self, engine: Engine, catalog: Catalog, settings: Settings) -> None:
        self._engine = engine
        self._catalog = catalog
        self._settings = settings

    async def prepared(self, intake: Intake, caller: Caller, model: str) -> Intake:
        """Return `intake` as its worker gets it; one of another endpoint as it is.

        Raises RequestError.
        """
        if intake.endpoint != ENDPOINT:
            return intake
        body = read_object(intake.body)
        if self._catalog.natively(model):
            check_common(body.members)
        else:
            read_asked(body.members)
        if intake.terms.restart and intake.stream:
            raise RequestError(
                "unsupported_parameter", "The events of a Response cannot begin anew.", "restart"
            )
        if body.members.get("store") is False and not intake.terms.held:
            raise RequestError(
                "invalid_body",
                "`store: false` cannot be asked for where the answer is fetched later.",
                param="store",
            )
        if body.members.get(_PREVIOUS) is not None:
            body = await self._continued(body, caller)
        return replace(
            intake,
            body=body.raw,
            model_span=body.spans["model"],
            metadata=intake.metadata or body.members.get("metadata") or {},
        )

    async def _continued(self, body: JsonObject, caller: Caller) -> JsonObject:
        """Return the body with what was said before in front of its own input."""
        before = await self._said_before(body.members[_PREVIOUS], caller)
        members = {**body.members, "input": before + input_of(body.members)}
        raw, most = orjson.dumps(members), self._settings.server.max_body_bytes
        if len(raw) > most:
            raise RequestError("body_too_large", f"The whole conversation is over {most} bytes.")
        return read_object(raw)

    async def _said_before(self, named: Any, caller: Caller) -> list[Any]:
        request_id = request_id_of(named) if isinstance(named, str) else ""
        if not is_request_id(request_id):
            raise _not_found(named)
        record = await self._engine.store.get(request_id)
        if record is None or record.tenant != caller.tenant or record.endpoint != ENDPOINT:
            raise _not_found(named)
        if not record.terminal:
            raise RequestError("not_finished", f"`{_PREVIOUS}` has not ended yet.", _PREVIOUS)
        asked = members_of(await large_bodies.asked_of(self._engine, request_id))
        if not asked or asked.get("store") is False or record.status is not Status.COMPLETED:
            raise _not_found(named)
        record = await large_bodies.whole(self._engine, record)
        response = (record.result and response_in(record.result)) or {}
        return input_of(asked) + list(response.get("output") or ())


def _not_found(named: Any) -> RequestError:
    sentence = f"There is no Response {str(named)[:100]!r} to go on from."
    return RequestError("previous_response_not_found", sentence, _PREVIOUS)
