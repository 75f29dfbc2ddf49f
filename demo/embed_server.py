"""all-MiniLM-L6-v2 behind an OpenAI-compatible /v1/embeddings, on loopback."""

from __future__ import annotations

import argparse
import asyncio
import base64
import sys
from typing import Any

from aiohttp import web

from demo.claims import DemoError
from demo.minilm import DIMENSIONS, Embedded, MiniLM

MODEL = "all-minilm-l6-v2"
_MAX_TEXTS = 2048


class EmbeddingServer:
    """The two routes of the server."""

    def __init__(self, model: MiniLM) -> None:
        self._model = model

    def app(self) -> web.Application:
        """Return the application with its routes."""
        app = web.Application(client_max_size=8 * 1024 * 1024)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/embeddings", self.embeddings)
        return app

    async def models(self, _request: web.Request) -> web.Response:
        """List the one model."""
        item = {"id": MODEL, "object": "model", "created": 0, "owned_by": "demo"}
        return web.json_response({"object": "list", "data": [item]})

    async def embeddings(self, request: web.Request) -> web.Response:
        """Embed one text or a list of texts."""
        try:
            texts, as_base64 = _read(await request.json())
        except ValueError as error:
            return _refusal(str(error))
        done = await asyncio.to_thread(self._model.embed, texts)
        data = [
            {"object": "embedding", "index": index, "embedding": _written(one, as_base64)}
            for index, one in enumerate(done)
        ]
        tokens = sum(one.tokens for one in done)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return web.json_response({"object": "list", "data": data, "model": MODEL, "usage": usage})


def _read(body: Any) -> tuple[list[str], bool]:
    if not isinstance(body, dict) or body.get("model") != MODEL:
        raise ValueError(f"the body must be an object whose model is {MODEL!r}")
    if body.get("dimensions", DIMENSIONS) != DIMENSIONS:
        raise ValueError(f"dimensions must be {DIMENSIONS}")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise ValueError("encoding_format must be 'float' or 'base64'")
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= _MAX_TEXTS:
        raise ValueError(f"input must be a text or a list of 1 to {_MAX_TEXTS} texts")
    if not all(isinstance(text, str) and text for text in texts):
        raise ValueError("each input must be a text that is not empty")
    return texts, encoding == "base64"


def _written(one: Embedded, as_base64: bool) -> str | list[float]:
    if as_base64:
        return base64.b64encode(one.vector.astype("<f4").tobytes()).decode()
    numbers: list[float] = one.vector.tolist()
    return numbers


def _refusal(message: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=400)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    arguments = argparse.ArgumentParser(prog="python -m demo.embed_server", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    port: int = arguments.parse_args().port
    try:
        model = MiniLM()
    except DemoError as error:
        sys.exit(str(error))
    web.run_app(EmbeddingServer(model).app(), host="127.0.0.1", port=port)


if __name__ == "__main__":
    main()
