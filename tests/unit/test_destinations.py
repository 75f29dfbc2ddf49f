"""Where a webhook may be sent: every hostile form is refused, what is public passes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import is_public, read_address
from schemas.config import Config
from schemas.destinations import AllowList, BadDestination, check_destination
from tests.fakes import hostile_urls

NOTHING = AllowList()
URLISH = r"https://[A-Za-z0-9.\[\]:@%\\-]{1,30}(:[0-9]{1,5})?(/[ -~]{0,20})?"
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450:4001::1",
]


@pytest.mark.parametrize("url", hostile_urls.EVERY)
def test_every_hostile_form_is_refused(url: str) -> None:
    with pytest.raises(BadDestination):
        check_destination(url, NOTHING)


@pytest.mark.parametrize("host", hostile_urls.HOSTS)
def test_an_allowed_neighbour_allows_none_of_them(host: str) -> None:
    allowed = AllowList(["hooks.internal", "127.0.0.1:9000", "10.9.0.0/16", "[fd00::1]:8080"])
    for url in (f"https://{host}/", f"http://{host}:8080/"):
        with pytest.raises(BadDestination):
            check_destination(url, allowed)


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://hooks.example.com/", "hooks.example.com", 443),
        ("https://hooks.example.com", "hooks.example.com", 443),
        ("https://Hooks.Example.COM:8443/a/b?c=d&e=%20", "hooks.example.com", 8443),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://1.1.1.1/", "1.1.1.1", 443),
        ("https://[2606:4700::1111]:443/x", "2606:4700::1111", 443),
        ("https://hooks.example.com?token=1@2", "hooks.example.com", 443),
    ],
)
def test_what_is_public_passes(url: str, host: str, port: int) -> None:
    found = check_destination(url, NOTHING)
    assert (found.scheme, found.host, found.port) == ("https", host, port)


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_public(text: str) -> None:
    address = read_address(text)
    assert address is not None
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_hides_in_no_form_of_ipv6(address: IPv4Address) -> None:
    mapped = read_address(f"::ffff:{address}")
    assert mapped == address
    number = int(address)
    for base in (0, 0x64FF9B << 96, (0x2002 << 112) | (number << 80)):
        hidden = IPv6Address(base | (number if base >> 112 != 0x2002 else 0))
        assert not is_public(hidden)


@given(st.from_regex(URLISH, fullmatch=True))
def test_the_http_client_reads_the_same_host_and_port(url: str) -> None:
    try:
        found = check_destination(url, NOTHING)
    except BadDestination:
        return
    read = yarl.URL(url, encoded=True)
    assert (read.scheme, read.host, read.port) == (found.scheme, found.host, found.port)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("hooks.internal", "http://hooks.internal:9000/x"),
        ("hooks.internal", "https://hooks.internal/"),
        ("hooks.internal:9000", "http://HOOKS.internal:9000/"),
        ("localhost", "http://localhost/"),
        ("127.0.0.1", "http://127.0.0.1:1234/"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/"),
        ("10.1.0.0/16", "http://10.1.2.3:80/"),
        ("::1", "http://[::1]:8080/"),
        ("[fd00::1]:8080", "http://[fd00::1]:8080/"),
        ("fd00::/8", "http://[fd00::2]/"),
        ("127.0.0.0/8", "http://[::ffff:127.0.0.1]/"),
    ],
)
def test_what_is_allowed_may_be_private_and_plain(entry: str, url: str) -> None:
    check_destination(url, AllowList([entry]))
    with pytest.raises(BadDestination):
        check_destination(url, NOTHING)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("hooks.internal:9000", "http://hooks.internal:9001/"),
        ("hooks.internal", "http://a.hooks.internal/"),
        ("127.0.0.1:9000", "http://127.0.0.1/"),
        ("10.1.0.0/16", "http://10.2.0.1/"),
        # Its name may lead into the network, but a name is https as all others.
        ("10.1.0.0/16", "http://hooks.example.com/"),
        ("hooks.internal", "ftp://hooks.internal/"),
        ("hooks.internal", "http://user@hooks.internal/"),
    ],
)
def test_an_entry_allows_only_what_it_says(entry: str, url: str) -> None:
    with pytest.raises(BadDestination):
        check_destination(url, AllowList([entry]))


def test_an_address_behind_a_name_is_admitted_by_name_or_network() -> None:
    inner = IPv4Address("10.1.2.3")
    found = check_destination("https://hooks.example.com/", NOTHING)
    assert not NOTHING.admits(found, inner)
    assert NOTHING.admits(found, IPv4Address("1.1.1.1"))
    assert AllowList(["10.1.0.0/16"]).admits(found, inner)
    assert AllowList(["hooks.example.com"]).admits(found, inner)
    assert not AllowList(["other.example.com", "10.2.0.0/16"]).admits(found, inner)


@pytest.mark.parametrize("entry", ["", "http://x/", "a b", "10.0.0.1/8", "x:0", "x:70000", "*"])
def test_an_unreadable_entry_is_a_mistake_of_the_configuration(entry: str) -> None:
    with pytest.raises(ValueError, match=r"webhooks\.allow"):
        Config.model_validate({"webhooks": {"allow": [entry]}})
