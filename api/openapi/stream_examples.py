"""The examples of streams in the OpenAPI document, as text/event-stream."""

from __future__ import annotations

from api.openapi.examples import REQUEST_ID

CHAT_STREAM = """\
: queued, position 3, about 12 s

id: 0
data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764153600,\
"model":"llama3.2","choices":[{"index":0,"delta":{"content":"Banana."}}]}

id: 1
data: [DONE]

"""
COMPLETION_STREAM = """\
id: 0
data: {"id":"cmpl-1","object":"text_completion","created":1764153600,\
"model":"llama3.2","choices":[{"index":0,"text":" banana"}]}

id: 1
data: [DONE]

"""
_OBJECT = f'data: {{"id":"{REQUEST_ID}","object":"request","status":"%s"}}'
EVENTS = "\n".join(
    (
        "event: request.in_progress",
        _OBJECT % "in_progress",
        "",
        CHAT_STREAM.partition("\n\n")[2] + "event: request.completed",
        _OBJECT % "completed",
        "",
        "",
    )
)
