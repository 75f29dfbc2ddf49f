"""What a new configuration changes, in words without values: they may be secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import BaseModel

from schemas.config import Config

# Keys of `server` that a running process can take over.
_RELOADABLE = frozenset(
    {
        "admin_key",
        "cors_origins",
        "default_timeout_s",
        "drain_s",
        "log_level",
        "max_body_bytes",
        "max_queued",
    }
)
# Sections whose keys are told one by one.
_SECTIONS = ("webhooks", "batches", "files")
_NAMES_SHOWN = 10


def takeable(old: Config, new: Config) -> tuple[Config, list[str]]:
    """Return `new` as far as a running process can take it, and the keys that need a restart.

    Those keep the value of `old`.
    """
    fixed = [name for name in _changed(old.server, new.server) if name not in _RELOADABLE]
    kept = {name: getattr(old.server, name) for name in fixed}
    server = new.server.model_copy(update=kept)
    told = [f"server.{name}" for name in fixed]
    told += [f"blobs.{name}" for name in _changed(old.blobs, new.blobs)]
    return new.model_copy(update={"server": server, "blobs": old.blobs}), told


def changes(old: Config, new: Config) -> list[str]:
    """Return one sentence for each thing that differs; none when nothing does."""
    told = [f"server.{name} changed" for name in _changed(old.server, new.server)]
    told += _entries("backend", old.backends, new.backends)
    told += _models(old, new)
    told += _entries("alias", old.aliases, new.aliases)
    told += _entries("tenant", old.tenants, new.tenants)
    if old.endpoints != new.endpoints:
        told.append("endpoints changed")
    for section in _SECTIONS:
        was, now = getattr(old, section), getattr(new, section)
        told += [f"{section}.{name} changed" for name in _changed(was, now)]
    return told


def _models(old: Config, new: Config) -> list[str]:
    if old.models == "auto" or new.models == "auto":
        if old.models == new.models:
            return []
        return [f"models: auto {'begins' if new.models == 'auto' else 'ends'}"]
    return _entries("model", old.models, new.models)


def _changed(old: BaseModel, new: BaseModel) -> list[str]:
    return [name for name in type(new).model_fields if getattr(old, name) != getattr(new, name)]


def _entries(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Tell which entries of a section came, went or changed; of a backend also what in it."""
    told: list[str] = []
    for verb, names in (("added", new.keys() - old.keys()), ("removed", old.keys() - new.keys())):
        if names:
            told.append(f"{what} {verb}: {_some(names)}")
    both = [name for name in new if name in old and old[name] != new[name]]
    if both:
        told.append(f"{what} changed: {_some(_with_fields(name, old, new) for name in both)}")
    return told


def _with_fields(name: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    before, after = old[name], new[name]
    if isinstance(before, BaseModel) and isinstance(after, BaseModel):
        return f"{name} ({', '.join(_changed(before, after))})"
    return name


def _some(names: Iterable[str]) -> str:
    shown = sorted(names)
    more = len(shown) - _NAMES_SHOWN
    return ", ".join(shown[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
