"""A Response while it is made: chunks of a chat completion in, events of the Response out.

A whole answer is one chunk that ends, so that a stream and a plain call give the same Response.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import orjson

from schemas.responses.told import Origin, Standing, response_of
from workers.backends.responses.items import CallItem, Ending, MessageItem, ReasoningItem, Told
from workers.backends.responses.reading import arguments_of, logprobs_of, text_of, usage_of

# `response.created` and `response.queued` are told by the door, before the log begins.
BEFORE_THE_LOG = 2
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}

Growing = TypeVar("Growing", MessageItem, ReasoningItem)


class Building:
    """The state of one attempt; `first_event` is the number of its first event in the log."""

    def __init__(self, origin: Origin, asked: Mapping[str, Any], first_event: int = 0) -> None:
        self._origin = origin
        self._asked = asked
        self._sequence_number = first_event + BEFORE_THE_LOG
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open: list[MessageItem | ReasoningItem | CallItem] = []
        # By the backend's index: what has come of a call whose name is not known yet, and calls.
        self._nameless: dict[int, tuple[str, str]] = {}
        self._calls: dict[int, CallItem] = {}
        self._finish_reason: str | None = None
        self._usage: dict[str, Any] | None = None

    def chunk(self, chunk: Mapping[str, Any]) -> list[bytes]:
        """Return the events that a chunk, or a whole answer, brings.

        Raises ValueError where a call goes on that has ended.
        """
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage_of(usage)
        events = self._written(self._begin())
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return events
        choice = choices[0]
        if isinstance(reason := choice.get("finish_reason"), str):
            self._finish_reason = reason
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            events += self._written(self._said(delta, choice.get("logprobs")))
        return events

    def end(self, now: float) -> tuple[list[bytes], dict[str, Any]]:
        """Return the last events and the whole Response, at the Unix second `now`."""
        events = self._written(self._begin())
        for index, (call_id, arguments) in sorted(self._nameless.items()):
            events += self._written(self._named(index, call_id, "", arguments))
        if not self._output:
            events += self._written(self._silence())
        why = _INCOMPLETE.get(self._finish_reason or "")
        ending: Ending = "incomplete" if why else "completed"
        events += self._written(self._close(ending))
        known: dict[str, Any] = {"usage": self._usage}
        known |= {"incomplete_details": {"reason": why}} if why else {"completed_at": int(now)}
        response = self._response(ending, **known)
        events += self._written([(f"response.{ending}", {"response": response})])
        return events, response

    def _begin(self) -> Iterator[Told]:
        if not self._begun:
            self._begun = True
            yield "response.in_progress", {"response": self._response("in_progress")}

    def _said(self, delta: Mapping[str, Any], logprobs: Any) -> Iterator[Told]:
        if thought := text_of(delta, "reasoning_content", "reasoning"):
            reasoning = yield from self._going_on(ReasoningItem)
            yield from reasoning.text(thought)
        if said := text_of(delta, "content"):
            message = yield from self._going_on(MessageItem)
            yield from message.text(said, logprobs_of(logprobs))
        if refused := text_of(delta, "refusal"):
            message = yield from self._going_on(MessageItem)
            yield from message.refusal(refused)
        calls = delta.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, dict):
                yield from self._called(position, call)

    def _silence(self) -> Iterator[Told]:
        """Tell of a backend that says nothing: an empty message, as OpenAI does."""
        message = yield from self._going_on(MessageItem)
        yield from message.text("", [])

    def _called(self, position: int, call: Mapping[str, Any]) -> Iterator[Told]:
        index = call.get("index")
        index = index if isinstance(index, int) else position
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = arguments_of(function)
        if index in self._calls:
            if self._calls[index].item["status"] != "in_progress":
                raise ValueError("a tool call goes on after its end")
            if arguments:
                yield from self._calls[index].arguments(arguments)
            return
        call_id, before = self._nameless.pop(index, ("", ""))
        call_id, arguments = call_id or text_of(call, "id"), before + arguments
        if name := text_of(function, "name"):
            yield from self._named(index, call_id, name, arguments)
        else:
            self._nameless[index] = (call_id, arguments)

    def _named(self, index: int, call_id: str, name: str, arguments: str) -> Iterator[Told]:
        """Open a call beside the others that are open; backends may mix their arguments."""
        # Only calls are open beside each other.
        if self._open and not isinstance(self._open[0], CallItem):
            yield from self._close("completed")
        place = len(self._output)
        item = CallItem(self._id("fc"), place, call_id or self._id("call"), name)
        self._calls[index] = item
        yield from self._add(item)
        if arguments:
            yield from item.arguments(arguments)

    def _going_on(self, kind: type[Growing]) -> Generator[Told, None, Growing]:
        """Return the item of this kind that is open; a new one ends whatever else is open."""
        for item in self._open:
            if isinstance(item, kind):
                return item
        yield from self._close("completed")
        new = kind(self._id(kind.prefix), len(self._output))
        yield from self._add(new)
        return new

    def _add(self, item: MessageItem | ReasoningItem | CallItem) -> Iterator[Told]:
        self._open.append(item)
        self._output.append(item.item)
        yield (
            "response.output_item.added",
            {"output_index": len(self._output) - 1, "item": item.item},
        )

    def _close(self, ending: Ending) -> Iterator[Told]:
        for item in self._open:
            yield from item.close(ending)
            yield "response.output_item.done", {"output_index": item.index, "item": item.item}
        self._open.clear()

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._origin.request_id.removeprefix('req_')}_{len(self._output)}"

    def _response(self, status: Standing, **known: Any) -> dict[str, Any]:
        return response_of(self._origin, self._asked, status, self._output, **known)

    def _written(self, told: Iterable[Told]) -> list[bytes]:
        """Return the events as the log keeps them, each written before the next is made."""
        events = []
        for kind, members in told:
            event = {"type": kind, "sequence_number": self._sequence_number, **members}
            self._sequence_number += 1
            events.append(b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(event))
        return events
