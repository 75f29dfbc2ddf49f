"""The input of a batch of messages: a model that has gone since its door fails one request."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes.batch_lines import TheseModels, make_line, make_terms, write_lines
from tests.fakes.blobs import MemoryBlobs
from workers.batches.validating import Validation, validate

MESSAGES = "/v1/messages"


def validated(dialect: str, scratch: Path, *models: str) -> Validation:
    bodies = {"a": {"model": "m"}, "b": {"model": "gone"}}
    lines = [make_line(each, url=MESSAGES, body=body) for each, body in bodies.items()]
    blobs = MemoryBlobs()
    return asyncio.run(
        validate(
            blobs,
            blobs.file(write_lines(*lines)),
            make_terms(dialect=dialect, endpoint=MESSAGES),
            TheseModels(*models),
            max_lines=100,
            max_bytes=1_000,
            scratch=scratch,
        )
    )


@pytest.mark.parametrize(("dialect", "mistakes"), [("anthropic", 0), ("openai", 1)])
def test_a_model_that_has_gone_is_a_mistake_of_files_only(
    dialect: str, mistakes: int, tmp_path: Path
) -> None:
    found = validated(dialect, tmp_path, "m")
    assert (found.total, found.mistakes_count) == (2, mistakes)
