"""Where a webhook may be sent: the grammar of its URL and the operator's allow-list. Pure.

Parsers of URLs disagree, and resolvers read `0x7f.1` as an address. So the grammar is narrow: what
any of them could take for something else is refused. Addresses that a name leads to are looked at
when a connection is made, on every attempt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_network

from schemas.addresses import Address, Network, is_public, lies_in, read_address

MAX_URL_CHARACTERS = 2_000
PORTS = (443, 8443)
MAX_PORT = 65_535

_URL = re.compile(
    r"(?P<scheme>[a-z]+)://"
    r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>[/?][A-Za-z0-9/?:@!$&'()*+,;=._~%-]*)?"
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What a resolver may read as a number, so that the whole host would be an address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
# Names that no public resolver knows, or that lead to this machine or its cloud's metadata.
_INNER = ("localhost", "local", "internal", "intranet", "lan", "corp", "private", "home.arpa")
_NOT_PUBLIC = "not one of the public internet, and `webhooks.allow` does not list it"
_DEFAULT_PORTS = {"https": 443, "http": 80}


class BadDestination(ValueError):
    """A URL that no webhook is sent to; the text says why, without naming what is inside."""


@dataclass(frozen=True, slots=True)
class Destination:
    """The parsed head of a webhook's URL; `host` is in lower case and without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def address(self) -> Address | None:
        """The address, where the host is one."""
        return read_address(self.host)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry: a host or a network, of one port or of all."""

    host: str | None
    network: Network | None
    port: int | None

    def fits(self, destination: Destination) -> bool:
        if self.port not in (None, destination.port):
            return False
        address = destination.address
        if self.network is not None:
            return address is not None and lies_in(address, self.network)
        return self.host == destination.host


class AllowList:
    """The hosts, `host:port`s and networks that may be private, plain http and on any port.

    A name that merely leads into an allowed network may be private, but is https as all others.
    """

    def __init__(self, entries: Iterable[str] = ()) -> None:
        """Raises ValueError for an entry that is none of these."""
        self._entries = tuple(map(_entry, entries))

    def holds(self, destination: Destination) -> bool:
        """Tell whether the host as it is written is allowed on this port."""
        return any(entry.fits(destination) for entry in self._entries)

    def admits(self, destination: Destination, address: Address) -> bool:
        """Tell whether the host may be reached at `address`."""
        reached = Destination(destination.scheme, str(address), destination.port)
        return is_public(address) or self.holds(destination) or self.holds(reached)


def check_destination(url: str, allowed: AllowList) -> Destination:
    """Return where `url` leads. Raises BadDestination for what is never connected to."""
    destination = _parsed(url)
    if allowed.holds(destination):
        return destination
    if destination.scheme != "https":
        raise BadDestination("it must be an https:// URL, unless `webhooks.allow` lists its host")
    if destination.port not in PORTS:
        raise BadDestination(f"its port must be one of {', '.join(map(str, PORTS))}")
    address = destination.address
    if address is not None and not is_public(address):
        raise BadDestination(f"its address is {_NOT_PUBLIC}")
    if address is None and _is_inner(destination.host):
        raise BadDestination(f"its host is {_NOT_PUBLIC}")
    return destination


def _parsed(url: str) -> Destination:
    if len(url) > MAX_URL_CHARACTERS:
        raise BadDestination(f"it has over {MAX_URL_CHARACTERS} characters")
    match = _matched(url)
    scheme = match["scheme"]
    if scheme not in _DEFAULT_PORTS:
        raise BadDestination("it must be an https:// URL")
    port = int(match["port"] or _DEFAULT_PORTS[scheme])
    if port > MAX_PORT:
        raise BadDestination("its port is none")
    return Destination(scheme, _host(match["host"]), port)


def _matched(url: str) -> re.Match[str]:
    match = _URL.fullmatch(url)
    if match is None:
        raise BadDestination(
            "it must be https://HOST[:PORT]/PATH in ASCII, without a user, spaces or a fragment"
        )
    return match


def _host(text: str) -> str:
    """Return the one spelling of a host. Raises BadDestination for a doubtful one."""
    try:
        if text.startswith("["):
            return str(IPv6Address(text[1:-1]))
        host = text.lower()
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(host))
    except ValueError:
        raise BadDestination("its address is not in the usual form") from None
    if not all(map(_LABEL.fullmatch, labels)):
        raise BadDestination("its host is not a name")
    return host


def _is_inner(host: str) -> bool:
    return "." not in host or any(f".{host}".endswith(f".{inner}") for inner in _INNER)


def _entry(text: str) -> _Allowed:
    if "/" in text:
        return _Allowed(None, ip_network(text), None)
    address = read_address(text)
    if address is not None:
        return _Allowed(None, ip_network(address), None)
    try:
        match = _matched(f"http://{text}")
        host = _host(match["host"])
    except BadDestination as error:
        raise ValueError(f"{text!r} is no host, host:port or network: {error}") from None
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > MAX_PORT:
        raise ValueError(f"{text!r} has a port that is none")
    address = read_address(host)
    if address is not None:
        return _Allowed(None, ip_network(address), port)
    return _Allowed(host, None, port)
