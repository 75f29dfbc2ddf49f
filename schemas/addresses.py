"""Which addresses a request on behalf of a tenant may connect to: those of the public internet.

`ipaddress.is_global` is no help: it is true for NAT64, 6to4, multicast and Azure's metadata.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "::/96",
        "64:ff9b::/96",  # NAT64 holds an IPv4 address, as do ::/96 and 2002::/16
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)


def read_address(text: str) -> Address | None:
    """Return the address that `text` spells out; None for a name.

    A scope (`fe80::1%eth0`) is dropped, an IPv4 address that is mapped into IPv6 taken out.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_public(address: Address) -> bool:
    """Tell whether an address as `read_address` returns it is outside every denied network."""
    return not any(lies_in(address, network) for network in _DENIED)


def lies_in(address: Address, network: Network) -> bool:
    """Tell whether the network, which may be of the other family, holds the address."""
    return address.version == network.version and address in network
