"""What a tenant's RabbitMQ user may do: write to the intake, by model and priority, read replies.

RabbitMQ allows every routing key to a user without topic permissions, and every queue to one who
may write to the default exchange: so both are always set. Its expressions match anywhere in a name,
hence the anchors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.ids import slug
from schemas.priority import Priority
from schemas.routes import WILD, is_pattern

# Any part of a slug, and what one ends with whose name had to be changed.
_ANY = "[a-z0-9_-]*"
_CHANGED = "(-[0-9a-f]{8})?"
_NOTHING = "^$"


@dataclass(frozen=True, slots=True)
class Grant:
    """The permissions of one user, as RabbitMQ's regular expressions."""

    user: str
    vhost: str
    exchange: str
    configure: str
    write: str
    read: str
    topics: str

    def commands(self) -> list[tuple[str, ...]]:
        """Return the arguments of rabbitmqctl that set them; repeating them changes nothing."""
        where = ("-p", self.vhost, self.user)
        return [
            ("set_permissions", *where, self.configure, self.write, self.read),
            ("set_topic_permissions", *where, self.exchange, self.topics, _NOTHING),
        ]


def granted(
    tenant: str,
    models: Sequence[str],
    priorities: Sequence[Priority],
    vhost: str,
    namespace: str,
    tenants: Iterable[str] = (),
) -> Grant:
    """Return what `tenant` is granted for `models` (patterns) and `priorities`.

    It may make and read queues of its own: `reply.<tenant>.…`, but for those of another one of
    `tenants` whose name begins like that, and those that RabbitMQ names.
    """
    own = rf"^(reply\.{re.escape(tenant)}\.{_but_for(tenant, tenants)}.*|amq\.gen-.*)$"
    slugs = "|".join(dict.fromkeys(map(_slugs, models))) or "^$"
    return Grant(
        user=tenant,
        vhost=vhost,
        exchange=f"{namespace}.intake",
        configure=own,
        write=f"^{re.escape(namespace)}\\.intake$",
        read=own,
        topics=rf"^({slugs})\.({'|'.join(priorities)})$",
    )


def _but_for(tenant: str, tenants: Iterable[str]) -> str:
    """Return an expression that does not match where the rest of a tenant's name begins."""
    rests = sorted(
        re.escape(name.removeprefix(f"{tenant}."))
        for name in tenants
        if name.startswith(f"{tenant}.")
    )
    return rf"(?!({'|'.join(rests)})\.)" if rests else ""


def _slugs(pattern: str) -> str:
    """Return an expression for the slugs of the names that fit; some that do not fit may match."""
    if not is_pattern(pattern):
        return slug(pattern)
    before, _, after = pattern.partition(WILD)
    return f"{_safe(before)}{_ANY}{_safe(after)}{_CHANGED}"


def _safe(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]", "-", text.lower())
