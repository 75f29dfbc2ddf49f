"""The chat completion that stands for a Responses request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from schemas.responses.asked import Asked
from schemas.responses.input import (
    FunctionCall,
    FunctionCallOutput,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
    Item,
    Message,
    OutputText,
    Part,
)
from schemas.responses.tools import AllowedTools, JsonObject, JsonSchema, OneFunction, Tool

# Backends' templates know the older word.
_ROLES = {"developer": "system"}
_LOGPROBS = "message.output_text.logprobs"
# Members of a chat body that are ours to write: a client's own would be read in another sense.
_OURS = frozenset({"messages", "n", "max_tokens", "response_format", "functions", "function_call"})


def chat_body(asked: Asked, model: str) -> bytes:
    """Return the body for `model` at a backend; what it does not know is passed through."""
    passed = {name: each for name, each in (asked.model_extra or {}).items() if name not in _OURS}
    said = {
        "max_tokens": asked.max_output_tokens,
        "temperature": asked.temperature,
        "top_p": asked.top_p,
        "user": asked.user,
        "reasoning_effort": asked.reasoning and asked.reasoning.effort,
        "verbosity": asked.text and asked.text.verbosity,
        "response_format": _response_format(asked),
        **_tools(asked),
        **_logprobs(asked),
    }
    body = {
        **passed,
        "model": model,
        "messages": list(_messages(asked)),
        **{name: value for name, value in said.items() if value is not None},
    }
    if asked.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return orjson.dumps(body)


def _messages(asked: Asked) -> Iterable[dict[str, Any]]:
    if asked.instructions is not None:
        yield {"role": "system", "content": asked.instructions}
    if isinstance(asked.input, str):
        yield {"role": "user", "content": asked.input}
    else:
        yield from _joined(asked.input)


def _joined(items: Sequence[Item]) -> list[dict[str, Any]]:
    """Return a message for each item; calls that follow what was said belong to that turn."""
    messages: list[dict[str, Any]] = []
    for item in items:
        if isinstance(item, Message):
            messages.append(_message(item))
        elif isinstance(item, FunctionCallOutput):
            output = {"role": "tool", "tool_call_id": item.call_id, "content": _text(item)}
            messages.append(output)
        elif isinstance(item, FunctionCall):
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": None})
            messages[-1].setdefault("tool_calls", []).append(_call(item))
    return messages


def _message(message: Message) -> dict[str, Any]:
    role = _ROLES.get(message.role, message.role)
    if isinstance(message.content, str):
        return {"role": role, "content": message.content}
    parts = [_part(part) for part in message.content]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return {"role": role, "content": parts[0]["text"]}
    return {"role": role, "content": parts}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case InputText() | OutputText():
            return {"type": "text", "text": part.text}
        case InputImage():
            image = {"url": part.image_url, **({"detail": part.detail} if part.detail else {})}
            return {"type": "image_url", "image_url": image}
        case InputFile():
            name = {"filename": part.filename} if part.filename else {}
            return {"type": "file", "file": {"file_data": part.file_data, **name}}
        case InputAudio():
            return {"type": "input_audio", "input_audio": part.input_audio}
    return {"type": "refusal", "refusal": part.refusal}


def _text(item: FunctionCallOutput) -> str:
    if isinstance(item.output, str):
        return item.output
    return "".join(part.text for part in item.output)


def _call(item: FunctionCall) -> dict[str, Any]:
    function = {"name": item.name, "arguments": item.arguments}
    return {"id": item.call_id, "type": "function", "function": function}


def _response_format(asked: Asked) -> dict[str, Any] | None:
    match asked.text and asked.text.format:
        case JsonObject():
            return {"type": "json_object"}
        case JsonSchema() as form:
            schema = form.model_dump(by_alias=True, exclude={"type"}, exclude_none=True)
            return {"type": "json_schema", "json_schema": schema}
    return None


def _tools(asked: Asked) -> dict[str, Any]:
    tools, choice = asked.tools or [], asked.tool_choice
    if isinstance(choice, AllowedTools):
        allowed = {each.name for each in choice.tools}
        tools = [tool for tool in tools if tool.name in allowed]
    if not tools:
        return {}
    return {
        "tools": [_tool(tool) for tool in tools],
        "tool_choice": _choice(choice),
        "parallel_tool_calls": asked.parallel_tool_calls,
    }


def _tool(tool: Tool) -> dict[str, Any]:
    function = tool.model_dump(exclude={"type"}, exclude_none=True)
    return {"type": "function", "function": function}


def _choice(choice: str | OneFunction | AllowedTools | None) -> Any:
    match choice:
        case OneFunction():
            return {"type": "function", "function": {"name": choice.name}}
        case AllowedTools():
            return choice.mode
    return choice


def _logprobs(asked: Asked) -> dict[str, Any]:
    if asked.top_logprobs is None and _LOGPROBS not in (asked.include or ()):
        return {}
    return {"logprobs": True, "top_logprobs": asked.top_logprobs or 0}
