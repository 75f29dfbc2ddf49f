"""A body that means all things that fit every filter it gives."""

from __future__ import annotations

from pydantic import BaseModel

from schemas.errors import RequestError

_PLACE = "after"


class Filters(BaseModel):
    """The base of such bodies: every field but `after`, a place in the list, is a filter."""

    @property
    def filters(self) -> dict[str, object]:
        """The filters that were given."""
        return self.model_dump(exclude_none=True, exclude={_PLACE})

    def check_any(self) -> None:
        """Raise RequestError if none was given: that would mean everything."""
        if not self.filters:
            known = ", ".join(name for name in type(self).model_fields if name != _PLACE)
            raise RequestError("invalid_body", f"Name at least one filter of {known}.")
