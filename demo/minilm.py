"""all-MiniLM-L6-v2 in numpy: text in, a vector of length one out, as sentence-transformers does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from demo.weights import EMBEDDINGS, TOKENIZER

Floats = NDArray[np.float32]

DIMENSIONS = 384
_MAX_TOKENS = 256
_LAYERS = 6
_HEADS = 12
_HEAD_WIDTH = DIMENSIONS // _HEADS


@dataclass(frozen=True, slots=True)
class Embedded:
    """One text's vector, and how many tokens it took."""

    vector: Floats
    tokens: int


class MiniLM:
    """The loaded model; `embed` may be called from several threads."""

    def __init__(self) -> None:
        path = EMBEDDINGS.checked()
        self._weights: dict[str, Floats] = load_file(path)
        self._tokenizer = Tokenizer.from_file(str(TOKENIZER.checked()))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(_MAX_TOKENS)

    def embed(self, texts: Sequence[str]) -> list[Embedded]:
        """Embed each text on its own: without padding, one needs no attention mask."""
        return [
            Embedded(self._forward(encoding.ids), len(encoding.ids))
            for encoding in self._tokenizer.encode_batch(list(texts))
        ]

    def _forward(self, ids: Sequence[int]) -> Floats:
        tables = "embeddings.{}_embeddings.weight"
        x = (
            self._weights[tables.format("word")][ids]
            + self._weights[tables.format("position")][: len(ids)]
            + self._weights[tables.format("token_type")][0]
        )
        x = self._norm("embeddings", x)
        for number in range(_LAYERS):
            layer = f"encoder.layer.{number}"
            attended = self._linear(f"{layer}.attention.output", self._attend(layer, x))
            x = self._norm(f"{layer}.attention.output", x + attended)
            widened = _gelu(self._linear(f"{layer}.intermediate", x))
            x = self._norm(f"{layer}.output", x + self._linear(f"{layer}.output", widened))
        mean: Floats = x.mean(axis=0)
        return mean / np.float32(np.linalg.norm(mean))

    def _attend(self, layer: str, x: Floats) -> Floats:
        query, key, value = (
            self._apply(f"{layer}.attention.self.{part}", x)
            .reshape(len(x), _HEADS, _HEAD_WIDTH)
            .transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(_HEAD_WIDTH))
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed: Floats = (weights / weights.sum(axis=-1, keepdims=True)) @ value
        return mixed.transpose(1, 0, 2).reshape(len(x), DIMENSIONS)

    def _linear(self, name: str, x: Floats) -> Floats:
        return self._apply(f"{name}.dense", x)

    def _apply(self, name: str, x: Floats) -> Floats:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-12)
        scale = self._weights[f"{name}.LayerNorm.weight"]
        shifted: Floats = centred / deviation * scale + self._weights[f"{name}.LayerNorm.bias"]
        return shifted


def _gelu(x: Floats) -> Floats:
    # numpy has no erf; Abramowitz and Stegun 7.1.26 is right to 1.5e-7.
    z = np.abs(x) / np.float32(np.sqrt(2))
    t = 1 / (1 + 0.3275911 * z)
    series = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    erf = np.sign(x) * (1 - series * np.exp(-z * z))
    return (0.5 * x * (1 + erf)).astype(np.float32)
