"""`request.cancel`: the id in the body, the request object as the reply."""

from __future__ import annotations

from api.amqp_intake.reading import body_of, named_by
from api.auth import Caller
from broker.persistence import persistently
from broker.ports import Engine, Submission
from schemas.errors import RequestError
from schemas.ids import is_request_id
from schemas.record import Record

KIND = "request.cancel"


async def cancel(
    engine: Engine, submission: Submission, caller: Caller, max_body_bytes: int
) -> Record:
    """Cancel a request of the caller's; return it as it is then. Raises RequestError.

    Like the HTTP door it answers with one that has ended before.
    """
    named_by(submission.routing_key)
    members = body_of(submission, max_body_bytes).members
    request_id = members.get("id")
    if not isinstance(request_id, str):
        raise RequestError("invalid_body", "`id` must name the request to cancel.", param="id")
    found = None
    if is_request_id(request_id):
        found = await persistently(lambda: engine.store.get(request_id), "look at the record")
    if found is None or found.tenant != caller.tenant:
        raise RequestError("request_not_found", param="id")
    after = await persistently(lambda: engine.store.cancel(request_id), "cancel")
    if after is None:
        raise RequestError("request_not_found", param="id")
    return after
