"""A client's msgpack as JSON, so that one reader and one backend dialect serve both."""

from __future__ import annotations

from typing import Any

import msgpack
import orjson

from schemas.body import MAX_CONTAINERS
from schemas.errors import RequestError

# An array's room is taken before its items are read: a header of five bytes can claim billions.
_MAX_ITEMS = 200_000


def json_of(packed: bytes) -> bytes:
    """Return the JSON that says the same. Raises RequestError `invalid_msgpack`.

    What JSON cannot say is refused: binary data, extension types, keys that are no texts.
    """
    count = _Count()
    try:
        value = msgpack.unpackb(
            packed,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=count.map,
            list_hook=count.array,
            ext_hook=_refuse_ext,
            max_array_len=min(len(packed), _MAX_ITEMS),
            max_map_len=min(len(packed), _MAX_ITEMS),
            max_ext_len=0,
        )
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise RequestError("invalid_msgpack", f"JSON cannot say this: {error}.") from None
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        said = str(error) or type(error).__name__
        raise RequestError("invalid_msgpack", f"The body is not msgpack: {said[:200]}.") from None


def packed_of(json: bytes) -> bytes:
    """Return the msgpack of our own JSON. Raises ValueError where it is nested too deeply."""
    packed: bytes = msgpack.packb(orjson.loads(json))
    return packed


class _Count:
    """Bounds how many containers come out of few bytes."""

    def __init__(self) -> None:
        self._left = MAX_CONTAINERS

    def map(self, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
        self._one_more()
        built = dict(pairs)
        if len(built) != len(pairs):
            raise ValueError("a key appears twice")
        return built

    def array(self, items: list[Any]) -> list[Any]:
        self._one_more()
        return items

    def _one_more(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"more than {MAX_CONTAINERS} parts")


def _refuse_ext(code: int, _data: bytes) -> Any:
    raise ValueError(f"the extension type {code} has no meaning here")
