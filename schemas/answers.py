"""What doors answer beside the request object: lists, models, the operator's view."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from schemas.request import RequestAttempt, RequestObject


class RequestList(BaseModel):
    """A page of requests, without their answers' bodies."""

    object: Literal["list"]
    data: list[RequestObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class RequestsCancelled(BaseModel):
    """How many were cancelled; with `has_more` another call after `last_id` goes on."""

    object: Literal["requests.cancelled"]
    cancelled: int
    last_id: str | None
    has_more: bool


class Priorities(BaseModel):
    """How many requests wait, by priority."""

    high: int
    normal: int
    low: int
    batch: int


class Load(BaseModel):
    """What waits for a model, parked or not, and what runs; `slots` are those of its backends."""

    slug: str
    priorities: Priorities
    waiting: int
    running: int
    slots: int


class Model(BaseModel):
    """A model in OpenAI's shape, with its load."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    penstock: Load


class ModelList(BaseModel):
    """The models that the caller's key opens."""

    object: Literal["list"]
    data: list[Model]


class Target(BaseModel):
    """A backend that serves a model, the model's name there, and its share."""

    backend: str
    model: str | None
    weight: float


# What the operator lets a model or a backend do.
State = Literal["running", "paused", "draining"]


class AdminModel(Load):
    """A model as the operator sees it; `targets` is null with `models: auto`."""

    id: str
    object: Literal["model"]
    state: State
    aliases: list[str]
    targets: list[Target] | None
    max_queued: int


class AdminModelList(BaseModel):
    """Every model."""

    object: Literal["list"]
    data: list[AdminModel]


class AdminBackend(BaseModel):
    """A backend; `held` are the slots that are held now, `models` is null with `models: auto`."""

    id: str
    object: Literal["backend"]
    state: State
    kind: str
    urls: list[str]
    concurrency: int
    held: int
    models: list[str] | None


class AdminBackendList(BaseModel):
    """Every backend."""

    object: Literal["list"]
    data: list[AdminBackend]


class AdminQueue(BaseModel):
    """A queue and what waits in it; one that serves all models has no `model`."""

    id: str
    object: Literal["queue"]
    model: str | None
    priority: str | None
    waiting: int


class AdminQueueList(BaseModel):
    """Every queue."""

    object: Literal["list"]
    data: list[AdminQueue]


class DeadLetter(RequestObject):
    """A request that ended with its envelope kept."""

    redrive_of: str | None
    redriven_as: str | None


class DeadLetterWhole(DeadLetter):
    """A dead letter with its attempts and the body that the client sent."""

    history: list[RequestAttempt]
    request: Any


class DeadLetterList(BaseModel):
    """A page of dead letters."""

    object: Literal["list"]
    data: list[DeadLetter]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeadLetterPurged(BaseModel):
    """A dead letter that cannot be redriven any more."""

    id: str
    object: Literal["dead_letter"]
    deleted: Literal[True]


class ForeignLetter(BaseModel):
    """A message in Penstock's queues that is not Penstock's."""

    reason: str
    filed_at: float
    body: Any


class ForeignLetterList(BaseModel):
    """The newest of them."""

    object: Literal["list"]
    data: list[ForeignLetter]


class ForeignLettersPurged(BaseModel):
    """How many were dropped."""

    deleted: int


class Health(BaseModel):
    """Whether a request could be accepted and served now, and what is missing."""

    status: Literal["ok", "unavailable"]
    checks: dict[str, str]


class Alive(BaseModel):
    """The event loop turns."""

    status: Literal["ok"]
