"""The items of a Response while they grow: each tells the events of its own life.

What is told must be written down before the next is asked for: it is the item itself, which grows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

Told = tuple[str, dict[str, Any]]
Ending = Literal["completed", "incomplete"]


class MessageItem:
    """What the model says: texts and refusals, one part after the other."""

    prefix = "msg"

    def __init__(self, item_id: str, index: int) -> None:
        self.index = index
        self._at = {"item_id": item_id, "output_index": index}
        self._parts: list[dict[str, Any]] = []
        # Pieces of the part that is open: a text that grows would be copied with each of them.
        self._pieces: list[str] = []
        self.item: dict[str, Any] = {
            "id": item_id,
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }

    def text(self, delta: str, logprobs: list[dict[str, Any]]) -> Iterator[Told]:
        """Go on with a text."""
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield from self._part(empty)
        self._pieces.append(delta)
        self._parts[-1]["logprobs"] += logprobs
        yield "response.output_text.delta", self._here({"delta": delta, "logprobs": logprobs})

    def refusal(self, delta: str) -> Iterator[Told]:
        """Go on with a refusal."""
        yield from self._part({"type": "refusal", "refusal": ""})
        self._pieces.append(delta)
        yield "response.refusal.delta", self._here({"delta": delta})

    def close(self, ending: Ending) -> Iterator[Told]:
        """End the part that is open, and the item."""
        yield from self._end_part()
        self.item |= {"status": ending, "content": self._parts}

    def _part(self, empty: dict[str, Any]) -> Iterator[Told]:
        """Open a part unless one of this type is open."""
        if self._parts and self._parts[-1]["type"] == empty["type"]:
            return
        yield from self._end_part()
        self._parts.append(empty)
        yield "response.content_part.added", self._here({"part": empty})

    def _end_part(self) -> Iterator[Told]:
        if not self._parts:
            return
        part, text = self._parts[-1], "".join(self._pieces)
        self._pieces.clear()
        if part["type"] == "output_text":
            part["text"] = text
            said = {"text": text, "logprobs": part["logprobs"]}
            yield "response.output_text.done", self._here(said)
        else:
            part["refusal"] = text
            yield "response.refusal.done", self._here({"refusal": text})
        yield "response.content_part.done", self._here({"part": part})

    def _here(self, more: dict[str, Any]) -> dict[str, Any]:
        return {**self._at, "content_index": len(self._parts) - 1, **more}


class ReasoningItem:
    """What the model thinks before it speaks, where the backend tells it."""

    prefix = "rs"

    def __init__(self, item_id: str, index: int) -> None:
        self.index = index
        self._at = {"item_id": item_id, "output_index": index, "content_index": 0}
        self._pieces: list[str] = []
        self.item: dict[str, Any] = {
            "id": item_id,
            "type": "reasoning",
            "status": "in_progress",
            "summary": [],
            "content": [],
        }

    def text(self, delta: str) -> Iterator[Told]:
        """Go on thinking."""
        if not self._pieces:
            yield "response.content_part.added", {**self._at, "part": self._part()}
        self._pieces.append(delta)
        yield "response.reasoning_text.delta", {**self._at, "delta": delta}

    def close(self, ending: Ending) -> Iterator[Told]:
        """End the text and the item."""
        part = self._part()
        yield "response.reasoning_text.done", {**self._at, "text": part["text"]}
        yield "response.content_part.done", {**self._at, "part": part}
        self.item |= {"status": ending, "content": [part]}

    def _part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": "".join(self._pieces)}


class CallItem:
    """A function that the model wants called."""

    def __init__(self, item_id: str, index: int, call_id: str, name: str) -> None:
        self.index = index
        self._at = {"item_id": item_id, "output_index": index}
        self._pieces: list[str] = []
        self.item: dict[str, Any] = {
            "id": item_id,
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id,
            "name": name,
            "arguments": "",
        }

    def arguments(self, delta: str) -> Iterator[Told]:
        """Go on with the arguments, which are JSON text."""
        self._pieces.append(delta)
        yield "response.function_call_arguments.delta", {**self._at, "delta": delta}

    def close(self, ending: Ending) -> Iterator[Told]:
        """End the arguments and the item."""
        told = {"name": self.item["name"], "arguments": "".join(self._pieces)}
        yield "response.function_call_arguments.done", {**self._at, **told}
        self.item |= {"status": ending, "arguments": told["arguments"]}
