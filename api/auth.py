"""Who is calling: a key's tenant, decided from the key alone that a header shows.

Every route says what it asks for and is refused without it; nothing is decided by a path's prefix.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from schemas.config import DEFAULT_TENANT, Config
from schemas.errors import RequestError
from schemas.keys import hash_of
from schemas.routes import EVERY_MODEL, opens

_MAX_KEY_BYTES = 512


class Access(Enum):
    """What a route asks of its caller."""

    OPEN = "open"  # nothing: health and metrics
    CLIENT = "client"  # a tenant
    ADMIN = "admin"  # the operator


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant a request is made for, and what its key opens."""

    tenant: str = DEFAULT_TENANT
    key_id: str | None = None
    admin: bool = False
    models: tuple[str, ...] = EVERY_MODEL

    def opens(self, *names: str) -> bool:
        """Tell whether one of a model's names is among those that the key opens."""
        return opens(self.models, *names)


_NOBODY = Caller(tenant="", models=())


class Authenticator:
    """The keys of the configuration, by hash."""

    def __init__(self, config: Config) -> None:
        self.apply(config)

    def apply(self, config: Config) -> None:
        """Take the keys of `config`; those that are gone from it open nothing any more."""
        callers: dict[str, Caller] = {}
        for name, tenant in config.tenants.items():
            for key in tenant.keys:
                callers[key.hash] = Caller(name, key.name, models=config.opened_to(name))
        anyone = Caller(models=config.opened_to(DEFAULT_TENANT))
        if config.server.admin_key is not None:
            admin = Caller(key_id="admin", admin=True, models=anyone.models)
            callers[hash_of(config.server.admin_key)] = admin
        self._anyone = None if config.has_keys else anyone
        self._callers = callers
        self._tenants = dict(config.tenants)

    def caller(self, headers: Sequence[tuple[bytes, bytes]], access: Access) -> Caller:
        """Return who calls. Raises RequestError `invalid_api_key` or `not_admin`.

        As long as no key is configured everybody is the tenant `default`, whatever key is shown.
        """
        if access is Access.OPEN:
            return _NOBODY
        caller = self._anyone or self._by_key(headers)
        if access is Access.ADMIN and not caller.admin:
            raise RequestError("not_admin")
        return caller

    @property
    def tenants(self) -> Collection[str]:
        """The names of the tenants that are configured."""
        return self._tenants.keys()

    def user(self, user_id: str | None) -> Caller:
        """Return who has published as a RabbitMQ user. Raises RequestError `unknown_user`.

        RabbitMQ vouches for the name, which is a tenant's once any key is configured.
        """
        if user_id is None:
            raise RequestError("unknown_user")
        if self._anyone is not None:
            return self._anyone
        tenant = self._tenants.get(user_id)
        if tenant is None:
            raise RequestError("unknown_user", f"No tenant is named {user_id[:100]!r}.", "user_id")
        return Caller(user_id, models=tuple(tenant.models))

    def _by_key(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller:
        key = _shown(headers)
        if len(key) > _MAX_KEY_BYTES:
            raise RequestError("invalid_api_key")
        caller = self._callers.get(f"sha256:{hashlib.sha256(key).hexdigest()}")
        if caller is None:
            raise RequestError("invalid_api_key", "This API key is not known here.")
        return caller


def _shown(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the one key that `Authorization: Bearer` or `x-api-key` shows, or both alike."""
    bearers = [value for name, value in headers if name == b"authorization"]
    keys = [value for name, value in headers if name == b"x-api-key"]
    if len(bearers) > 1 or len(keys) > 1:
        raise RequestError("invalid_api_key")
    for bearer in bearers:
        scheme, _, key = bearer.partition(b" ")
        if scheme.lower() != b"bearer":
            raise RequestError("invalid_api_key")
        keys.append(key)
    if len(set(keys)) > 1:
        raise RequestError("invalid_api_key", "Authorization and x-api-key show different keys.")
    if not keys:
        raise RequestError("invalid_api_key")
    return keys[0]
