"""What a request will probably cost and how long it will run, learnt from those before it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

_REMEMBERED = 256
_QUANTILE = 0.75
_FIRST_OUTPUT_TOKENS = 256
_FIRST_SERVICE_S = 1.0
_LEAST_COST = 1.0


class Estimator:
    """The moving 75th percentile of output tokens and the moving mean service time of one model.

    Both are of the newest 256 requests. The percentile rather than the mean: a request that asks
    for much is then rarely charged too little at first, and what is charged is corrected later.
    """

    def __init__(self) -> None:
        self._newest: deque[tuple[int, float]] = deque()
        self._outputs: list[int] = []
        self._service_sum_s = 0.0

    def cost(self, input_tokens: int, max_tokens: int | None) -> float:
        """Return the tokens to charge at the start: input and expected output; at least 1."""
        output = self._output_tokens
        if max_tokens is not None:
            output = min(max_tokens, output)
        return max(_LEAST_COST, float(input_tokens + output))

    def observe(self, output_tokens: int, service_s: float) -> None:
        """Learn from a request that has ended."""
        self._newest.append((output_tokens, service_s))
        insort(self._outputs, output_tokens)
        self._service_sum_s += service_s
        if len(self._newest) > _REMEMBERED:
            tokens, seconds = self._newest.popleft()
            del self._outputs[bisect_left(self._outputs, tokens)]
            self._service_sum_s -= seconds

    @property
    def service_s(self) -> float:
        """How long a call lasts on average, in seconds; 1 before the first has ended."""
        if not self._newest:
            return _FIRST_SERVICE_S
        return max(0.0, self._service_sum_s / len(self._newest))

    @property
    def _output_tokens(self) -> int:
        if not self._outputs:
            return _FIRST_OUTPUT_TOKENS
        return self._outputs[int(_QUANTILE * (len(self._outputs) - 1))]
