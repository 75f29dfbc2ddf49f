"""A batch's whole file read once before anything of it starts, in memory that does not grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from broker.blobs.lines import RawLine, UnreadableFile, lines_of
from broker.pauses import Pauses
from broker.ports.blobs import Blobs
from schemas.batches import BatchTerms, Cursor, LineError
from schemas.errors import BATCH_ERRORS, BlobMissing
from schemas.files import Part
from workers.batches.asked import BadLine, Opens, read_line
from workers.batches.duplicates import CustomIds
from workers.batches.mistakes import Mistakes

FIRST_MISTAKES = 100
_SEVERAL = 2
_MODEL_MISTAKES = frozenset({"model_not_found", "model_not_allowed"})


@dataclass(frozen=True, slots=True)
class Validation:
    """What a file holds: `total` lines, of the one model `model`, None for several.

    It can be used if there are no mistakes; `first` are the first hundred of them by line.
    """

    total: int
    model: str | None
    mistakes_count: int
    first: tuple[LineError, ...]
    _mistakes: Mistakes

    def all_mistakes(self) -> AsyncIterator[LineError]:
        """Yield every mistake by line; the folder of the validation must still be there."""
        return self._mistakes.in_order()


async def validate(
    blobs: Blobs,
    parts: Sequence[Part],
    terms: BatchTerms,
    opens: Opens,
    *,
    max_lines: int,
    max_bytes: int,
    scratch: Path,
) -> Validation:
    """Return what the file in `parts` holds; `scratch` is a folder that the caller removes.

    A file of more than `max_lines` is not read to its end. Raises EngineError, but for missing
    blobs, which are a mistake.
    """
    validating = _Validating(terms, opens, max_lines, max_bytes, scratch)
    try:
        await validating.read(blobs, parts)
    except UnreadableFile as error:
        await validating.mistakes.add(LineError("unreadable_file", str(error)))
    except BlobMissing:
        await validating.mistakes.add(_of_the_file("input_file_missing"))
    return await validating.found()


class _Validating:
    def __init__(
        self, terms: BatchTerms, opens: Opens, max_lines: int, max_bytes: int, scratch: Path
    ) -> None:
        self._terms = terms
        self._opens = opens
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._custom_ids = CustomIds(scratch / "custom_ids")
        self._models: set[str] = set()
        self._total = 0
        self.mistakes = Mistakes(scratch / "mistakes")

    async def read(self, blobs: Blobs, parts: Sequence[Part]) -> None:
        await self._opens.refresh()
        pauses = Pauses()
        async with aclosing(lines_of(blobs, parts, Cursor(), self._max_bytes)) as lines:
            async for line in lines:
                if self._total == self._max_lines:
                    await self.mistakes.add(self._too_many(line))
                    return
                self._total += 1
                await self._check(line)
                await pauses.turn()
        if self._total == 0:
            await self.mistakes.add(_of_the_file("empty_file"))

    async def found(self) -> Validation:
        async for mistake in self._custom_ids.repeated():
            await self.mistakes.add(mistake)
        first = await self.mistakes.first(FIRST_MISTAKES)
        model = min(self._models) if len(self._models) == 1 else None
        return Validation(self._total, model, self.mistakes.count, first, self.mistakes)

    async def _check(self, line: RawLine) -> None:
        if line.data is None:
            await self.mistakes.add(self._too_long(line.number))
            return
        try:
            asked = read_line(line.data, self._terms, self._opens)
        except BadLine as error:
            if not self._fails_alone(error.mistake):
                await self.mistakes.add(replace(error.mistake, line=line.number))
            custom_id = error.mistake.custom_id
        else:
            custom_id = asked.custom_id
            if len(self._models) < _SEVERAL:
                self._models.add(asked.asked)
        if custom_id is not None:
            await self._custom_ids.add(custom_id, line.number)

    def _fails_alone(self, mistake: LineError) -> bool:
        """Tell whether only the line fails: every request of Anthropic's dialect has a result.

        Its door has found all models there, so this one has gone since then.
        """
        return self._terms.dialect == "anthropic" and mistake.code in _MODEL_MISTAKES

    def _too_long(self, number: int) -> LineError:
        sentence = f"The line is over {self._max_bytes} bytes, the most that a request may have."
        return LineError("line_too_long", sentence, number)

    def _too_many(self, line: RawLine) -> LineError:
        sentence = (
            f"The file has more than {self._max_lines} lines, the most of a batch here; "
            "split it into several."
        )
        return LineError("too_many_lines", sentence, line.number)


def _of_the_file(code: str) -> LineError:
    return LineError(code, BATCH_ERRORS[code])
