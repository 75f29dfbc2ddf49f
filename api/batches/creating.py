"""Creating a batch: it is durable before its creator is told; a worker does the rest."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace

from api.admission import Admission
from api.auth import Caller
from api.files.owned import own_file
from api.reading import check_webhook_url
from api.settings import Settings
from broker.ports import Engine
from schemas.batch_wire import BATCH_PURPOSE, CreateBatch
from schemas.batches import Batch, BatchStatus, BatchTerms
from schemas.completion_window import window_s
from schemas.errors import RequestError
from schemas.ids import derived_batch_id, new_batch_id
from schemas.instants import in_words
from schemas.message_batches import ENDPOINT as MESSAGES
from schemas.webhooks import write_webhook

_GONE = "The batch of this Idempotency-Key is past its retention; use another key."


class Creating:
    """The one way in for batches, for every dialect of this process."""

    def __init__(self, engine: Engine, admission: Admission, settings: Settings) -> None:
        self._engine = engine
        self._admission = admission
        self._settings = settings

    def check_open(self) -> None:
        """Raise RequestError `draining` while this process takes nothing new."""
        if self._admission.draining:
            raise RequestError("draining")

    def new_id(self, tenant: str, key: str | None) -> str:
        """Return the id of the batch that a tenant creates, with its Idempotency-Key if any."""
        if key is None:
            return new_batch_id()
        return derived_batch_id(self._settings.server.namespace, "batch", tenant, key)

    async def terms_of(self, asked: CreateBatch, caller: Caller, batch_id: str) -> BatchTerms:
        """Return what is asked for as the terms of a batch. Raises RequestError."""
        config, now = self._settings.config, time.time()
        _check_endpoint(asked.endpoint, (*self._settings.endpoints, MESSAGES))
        deadline = now + window_s(asked.completion_window)
        await self._check_file(asked.input_file_id, caller.tenant, deadline)
        webhook = None
        if asked.webhook is not None:
            check_webhook_url(asked.webhook.url, self._settings.webhooks_allowed, "webhook.url")
            webhook = write_webhook(asked.webhook)
        kept = asked.output_expires_after
        return BatchTerms(
            id=batch_id,
            tenant=caller.tenant,
            endpoint=asked.endpoint,
            input_file_id=asked.input_file_id,
            completion_window=asked.completion_window,
            created_at=now,
            deadline=deadline,
            key_id=caller.key_id,
            order=asked.order,
            error_codes=asked.error_codes or config.batches.error_codes,
            include_cancelled=asked.include_cancelled,
            line_events=asked.line_events,
            webhook=webhook,
            output_kept_s=config.files.retention_s if kept is None else float(kept.seconds),
            metadata=asked.metadata or {},
        )

    async def create(self, terms: BatchTerms) -> tuple[Batch, bool]:
        """Make a batch durable, or find the one of the same id, with whether it was found.

        Raises RequestError `idempotency_conflict` if that one has other terms.
        """
        batch = Batch(terms, times={BatchStatus.VALIDATING: terms.created_at})
        if await self._engine.batches.create(batch):
            return batch, False
        found = await self._engine.batches.get(terms.id)
        if found is None:
            raise RequestError("idempotency_conflict", _GONE)
        if _asked_for(found.terms) != _asked_for(terms):
            raise RequestError("idempotency_conflict")
        return found, True

    async def _check_file(self, file_id: str, tenant: str, deadline: float) -> None:
        param = "input_file_id"
        try:
            file = await own_file(self._engine.files, file_id, tenant)
        except RequestError as error:
            raise RequestError(error.code, error.message, param) from None
        if file.purpose != BATCH_PURPOSE:
            raise RequestError(
                "invalid_body",
                f"The file has the purpose `{file.purpose}`; upload it for `{BATCH_PURPOSE}`.",
                param,
            )
        if file.expires_at < deadline:
            raise RequestError(
                "invalid_body",
                f"The file expires at {in_words(file.expires_at)}, before the batch has to end; "
                "upload it again, or give the batch less time.",
                param,
            )


def _check_endpoint(endpoint: str, served: Collection[str]) -> None:
    if endpoint not in served:
        raise RequestError(
            "unsupported_endpoint",
            f"The endpoint {endpoint[:100]!r} is not served; use one of {', '.join(served)}.",
            "endpoint",
        )


def _asked_for(terms: BatchTerms) -> BatchTerms:
    """Return the terms without what the moment and the key of their creation have added.

    The file of a retry is one of these: each has its own copy of the lines.
    """
    file_id = terms.input_file_id if terms.retry_of is None else ""
    return replace(terms, created_at=0.0, deadline=0.0, key_id=None, input_file_id=file_id)
