"""Envelopes as an earlier version wrote them: a change that cannot read these loses requests."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "envelopes"
GOLDEN = tuple(sorted(path.stem for path in _FOLDER.glob("*.hex")))


def golden_envelope(name: str) -> bytes:
    """Return the bytes of one of them.

    `minimal` has only what it must, `full` every key before there were lanes, `laned` those as
    well, `replied` also the one for replies by AMQP, `lined` also those of a
    batch's lines and of a large body in a blob.
    """
    return bytes.fromhex((_FOLDER / f"{name}.hex").read_text("ascii"))
