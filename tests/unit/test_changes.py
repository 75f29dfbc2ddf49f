"""What a reload changes: told in words, without values; what needs a restart stays."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.changes import changes, takeable
from schemas.config import Config

SECRET = "a-secret-of-sixteen"


def config(**sections: Any) -> Config:
    return Config.model_validate(sections)


BACKENDS = {"a": {"urls": ["http://a"]}, "b": {"urls": ["http://b"]}}
MODELS = {"m": {"targets": [{"backend": "a"}]}, "n": {"targets": [{"backend": "b"}]}}
BEFORE = config(backends=BACKENDS, models=MODELS)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"backends": BACKENDS, "models": MODELS}, []),
        ({"backends": BACKENDS, "models": {"m": MODELS["m"]}}, ["model removed: n"]),
        (
            {"backends": BACKENDS, "models": {**MODELS, "o": MODELS["m"], "p": MODELS["m"]}},
            ["model added: o, p"],
        ),
        (
            {
                "backends": {**BACKENDS, "a": {"urls": ["http://x"], "api_key": SECRET}},
                "models": MODELS,
            },
            ["backend changed: a (urls, api_key)"],
        ),
        (
            {
                "backends": BACKENDS,
                "models": {**MODELS, "m": {"targets": [{"backend": "a", "weight": 3}]}},
            },
            ["model changed: m (targets)"],
        ),
        ({"backends": BACKENDS}, ["models: auto begins"]),
        (
            {"backends": BACKENDS, "models": MODELS, "server": {"admin_key": SECRET}},
            ["server.admin_key changed"],
        ),
        (
            {
                "backends": BACKENDS,
                "models": MODELS,
                "aliases": {"x": "m"},
                "endpoints": ["/v1/rerank"],
                "tenants": {"t": {"models": ["*"]}},
                "webhooks": {"allow": ["hooks.internal"], "timeout_s": 5},
                "batches": {"window": 10},
                "files": {"max_bytes": 2048},
            },
            [
                "alias added: x",
                "tenant added: t",
                "endpoints changed",
                "webhooks.allow changed",
                "webhooks.timeout_s changed",
                "batches.window changed",
                "files.max_bytes changed",
            ],
        ),
    ],
)
def test_a_change_is_told_without_its_values(sections: dict[str, Any], told: list[str]) -> None:
    said = changes(BEFORE, config(**sections))
    assert said == told
    assert SECRET not in str(said)


def test_many_names_are_cut_short() -> None:
    models = {f"m{number:02}": MODELS["m"] for number in range(12)}
    (told,) = changes(
        config(backends=BACKENDS, models={}), config(backends=BACKENDS, models=models)
    )
    assert told.endswith("m08, m09 and 2 more")


def test_what_needs_a_restart_is_named_and_stays() -> None:
    new = config(
        server={"port": 9000, "retention_s": 60, "drain_s": 1, "admin_key": SECRET},
        blobs={"directory": "/elsewhere"},
        backends=BACKENDS,
    )
    taken, fixed = takeable(BEFORE, new)
    assert fixed == ["server.port", "server.retention_s", "blobs.directory"]
    assert taken.blobs == BEFORE.blobs
    assert (taken.server.port, taken.server.retention_s) == (8080, 86_400)
    assert (taken.server.drain_s, taken.server.admin_key) == (1, SECRET)
    assert taken.backends == new.backends
