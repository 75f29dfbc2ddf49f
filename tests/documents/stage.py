"""What the documents talk about, for real: a model server, a Penstock without keys and one with."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api.openapi.examples import REQUEST_ID
from api.openapi.message_operations import MESSAGE_BATCH_ID
from api.openapi.webhook_examples import DELIVERY_ID, ENDPOINT_ID
from schemas.keys import hash_of, new_key
from tests.documents.blocks import ROOT, Block
from tests.documents.receiver import taking
from tests.fakes.stack import Setup, Stack, backend_process

MODEL = "llama3.2"
MODELS = (MODEL, "llama-3.1-8b", "nomic-embed-text", "bge-reranker")
BROKEN = "broken"
_BACKEND_URLS = (
    "http://localhost:11434/v1",
    "http://localhost:8000/v1",
    "http://gpu-a1:8000/v1",
    "http://gpu-a2:8000/v1",
    "http://gpu-b:8000/v1",
)
_SERVER_URL = "http://127.0.0.1:8080"
_RECEIVER_URL = "https://hooks.example"
_HOOKS = {"webhooks": {"allow": ["127.0.0.1"]}}
_ANY_ID = re.compile(rf"req_…|{REQUEST_ID}")
_MESSAGE_BATCH = re.compile(MESSAGE_BATCH_ID)
_ENDPOINT = re.compile(rf"we_…|{ENDPOINT_ID}")
_DELIVERY = re.compile(rf"wh_…|{DELIVERY_ID}")
_ASKER, _NAMESPACE = "amqp://acme:password@rabbitmq:5672/", "documents"
_AMQP, _REDIS = "amqp://user:password@rabbitmq:5672/", "redis://redis:6379/0"


@dataclass(frozen=True, slots=True)
class Server:
    """A running Penstock and the keys that open it."""

    url: str
    admin_key: str | None = None
    api_key: str | None = None

    def environment(self) -> dict[str, str]:
        """Return what a user of it has exported."""
        keys = {"PENSTOCK_ADMIN_KEY": self.admin_key, "PENSTOCK_API_KEY": self.api_key}
        return {"PENSTOCK_URL": self.url, **{name: key for name, key in keys.items() if key}}

    def ask(self, path: str, body: object = None) -> tuple[int, Any]:
        """Send one request as JSON; return the status and the answer's content."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if self.admin_key is not None:
            headers["Authorization"] = f"Bearer {self.admin_key}"
        asked = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, json.loads(answer.read())

    def an_ended_request(self, model: str = MODEL) -> str:
        """Submit a request, wait for its end and return its id."""
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        _, accepted = self.ask("/v1/requests", {"body": body})
        request_id: str = accepted["id"]
        _, found = self.ask(f"/v1/requests/{request_id}?wait=30")
        assert found["finished_at"], found
        return request_id

    def an_ended_message_batch(self) -> str:
        """Create a batch of one message, wait for its end and return its id."""
        params = {"model": MODEL, "max_tokens": 8, "messages": []}
        asked = {"requests": [{"custom_id": "fruit-1", "params": params}]}
        _, batch = self.ask("/v1/messages/batches", asked)
        until = time.monotonic() + 30
        while batch["processing_status"] != "ended":
            assert time.monotonic() < until, batch
            time.sleep(0.1)
            _, batch = self.ask(f"/v1/messages/batches/{batch['id']}")
        return str(batch["id"])

    def an_endpoint(self, receiver_url: str) -> str:
        """Register a webhook endpoint and return its id."""
        types = ["request.completed"]
        asked = {"name": "documents", "url": f"{receiver_url}/penstock", "event_types": types}
        made: str = self.ask("/v1/webhook_endpoints", asked)[1]["id"]
        return made

    def a_delivery(self, receiver_url: str) -> str:
        """Let an event be sent and return the id of its delivery."""
        endpoint_id = self.an_endpoint(receiver_url)
        self.an_ended_request()
        until = time.monotonic() + 30
        while time.monotonic() < until:
            _, page = self.ask(f"/v1/webhook_endpoints/{endpoint_id}/deliveries")
            for delivery in page["data"]:
                return str(delivery["id"])
            time.sleep(0.1)
        raise AssertionError("no event was sent")


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the blocks of a page are played."""

    backend_url: str
    without_keys: Server
    with_keys: Server
    real_urls: Callable[[], tuple[str, str]]
    receiver_url: str
    amqp_door: Callable[[], str]

    def server(self, block: Block) -> Server:
        """Return the server that a block means."""
        return self.with_keys if block.with_keys else self.without_keys

    def real(self, block: Block) -> str:
        """Return the block's text with real addresses, keys and ids in the place of examples."""
        server, text = self.server(block), block.text
        for url in _BACKEND_URLS:
            text = text.replace(url, self.backend_url)
        text = text.replace(_SERVER_URL, server.url).replace(_RECEIVER_URL, self.receiver_url)
        if _AMQP in text or _REDIS in text:
            amqp_url, redis_url = self.real_urls()
            text = text.replace(_AMQP, amqp_url).replace(_REDIS, redis_url)
        if _ASKER in text:
            # In a namespace of its own, since pages start servers on the same RabbitMQ.
            text = text.replace(_ASKER, self.amqp_door())
            text = text.replace("penstock.intake", f"{_NAMESPACE}.intake")
        if server.api_key is not None:
            text = text.replace("psk_…", server.api_key)
        if block.language in ("sh", "console", "python") and _ANY_ID.search(text):
            dead = "dead-letters" in text
            text = _ANY_ID.sub(server.an_ended_request(BROKEN if dead else MODEL), text)
        if block.language in ("sh", "console"):
            if _MESSAGE_BATCH.search(text):
                text = _MESSAGE_BATCH.sub(server.an_ended_message_batch(), text)
            if _ENDPOINT.search(text):
                text = _ENDPOINT.sub(server.an_endpoint(self.receiver_url), text)
            if _DELIVERY.search(text):
                text = _DELIVERY.sub(server.a_delivery(self.receiver_url), text)
        return text

    def environment(self, block: Block) -> dict[str, str]:
        """Return the environment of a block's commands."""
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        commands = str(ROOT / "tests" / "documents" / "bin")
        return {
            **kept,
            "PATH": f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PENSTOCK_TEST_PYTHON": sys.executable,
            **self.server(block).environment(),
        }


@contextmanager
def open_stage(directory: Path, real_urls: Callable[[], tuple[str, str]]) -> Iterator[Stage]:
    """Start the model server, a receiver of webhooks and both Penstocks.

    One on RabbitMQ starts once a page asks by AMQP.
    """
    with ExitStack() as stack:
        receiver_url = stack.enter_context(taking())
        url, _ = stack.enter_context(backend_process(directory, models=",".join(MODELS)))
        admin_key, api_key = new_key(), new_key()

        def opened(name: str, setup: Setup) -> Stack:
            folder = directory / name
            folder.mkdir()
            return stack.enter_context(Stack(folder, setup))

        @cache
        def amqp_door() -> str:
            opened("amqp", _on_rabbitmq(f"{url}/v1", api_key, *real_urls()))
            return real_urls()[0]

        plain = opened("plain", _setup(f"{url}/v1", {}, {}))
        more, env = _tenant("default", api_key), {"PENSTOCK_ADMIN_KEY": admin_key}
        keyed = opened("keyed", _setup(f"{url}/v1", more, env))
        yield Stage(
            f"{url}/v1",
            Server(plain.url),
            Server(keyed.url, admin_key, api_key),
            real_urls,
            receiver_url,
            amqp_door,
        )


def _on_rabbitmq(url: str, api_key: str, amqp_url: str, redis_url: str) -> Setup:
    """Return a setup of which RabbitMQ's user is a tenant."""
    return replace(
        _setup(url, _tenant(urlsplit(amqp_url).username or "guest", api_key), {}),
        engine="real",
        workers=1,
        amqp_url=amqp_url,
        redis_url=redis_url,
        server={"namespace": _NAMESPACE},
    )


def _tenant(name: str, api_key: str) -> dict[str, Any]:
    keys = [{"name": "first", "hash": hash_of(api_key)}]
    return {"tenants": {name: {"models": ["*"], "keys": keys}}}


def _setup(url: str, more: Mapping[str, Any], env: Mapping[str, str]) -> Setup:
    models: dict[str, Any] = {name: {"targets": [{"backend": "gpu-a"}]} for name in MODELS}
    target = {"backend": "gpu-a", "model": "status-500"}
    models[BROKEN] = {"targets": [target], "retry": {"max_attempts": 1}}
    return Setup(
        backends={"gpu-a": {"urls": [url]}},
        models=models,
        more={"endpoints": ["/v1/rerank"], "aliases": {"gpt-4o-mini": MODEL}, **_HOOKS, **more},
        env=env,
    )
