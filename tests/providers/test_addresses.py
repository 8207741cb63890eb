"""Which addresses may be called."""

from __future__ import annotations

import socket
import threading
from ipaddress import ip_address
from typing import Any

import pytest

from providers.addresses import AddressPolicy, is_public, networks
from providers.errors import TargetForbidden, Unavailable
from tests.providers.doubles import LOOPBACK


def finding(*addresses: str) -> Any:
    """A resolver that knows these addresses for every name."""

    def lookup(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        return [(socket.AF_INET6 if ":" in a else socket.AF_INET, (a, port)) for a in addresses]

    return lookup


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",  # carrier-grade NAT
        "100.100.100.200",  # a cloud's metadata
        "127.0.0.1",
        "127.8.8.8",
        "168.63.129.16",  # Azure's inside
        "169.254.169.254",  # the other clouds' metadata
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",  # IPv4-compatible
        "::ffff:10.0.0.1",  # mapped
        "::ffff:169.254.169.254",
        "64:ff9b::a00:1",  # NAT64 of 10.0.0.1
        "64:ff9b:1::1",
        "2002:a00:1::",  # 6to4 of 10.0.0.1
        "2001::1",  # Teredo
        "2001:db8::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_private_addresses_are_refused_in_every_disguise(address: str) -> None:
    assert not is_public(ip_address(address))
    with pytest.raises(TargetForbidden):
        AddressPolicy(lookup=finding(address)).resolve("a.example", 443)


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "2002:101:101::"],
)
def test_public_addresses_are_taken(address: str) -> None:
    (endpoint,) = AddressPolicy(lookup=finding(address)).resolve("a.example", 443)
    assert endpoint.sockaddr == (address, 443)


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    with pytest.raises(TargetForbidden, match=r"^The host a\.example leads to 10\.0\.0\.1, which is not a public"):
        AddressPolicy(lookup=finding("1.1.1.1", "10.0.0.1")).resolve("a.example", 443)


def test_an_allowed_network_is_allowed_in_every_notation() -> None:
    policy = AddressPolicy(networks(["10.0.0.0/8"]), lookup=finding("10.0.0.1", "::ffff:10.0.0.1"))
    assert len(policy.resolve("a.example", 80, secure=False)) == 2


def test_plain_http_to_a_public_host_is_refused_when_it_is_called_too() -> None:
    with pytest.raises(TargetForbidden, match="https://"):
        AddressPolicy(LOOPBACK, lookup=finding("1.1.1.1")).resolve("a.example", 80, secure=False)


def test_the_operators_address_is_not_judged() -> None:
    (endpoint,) = AddressPolicy(lookup=finding("10.0.0.1")).resolve("api.inside", 80, secure=False, trusted=True)
    assert endpoint.sockaddr == ("10.0.0.1", 80)


def test_a_name_is_looked_up_once_in_a_while_and_judged_each_time() -> None:
    asked = []

    def lookup(host: str, port: int) -> list[tuple[int, tuple[str, int]]]:
        asked.append((host, port))
        return [(socket.AF_INET, ("10.0.0.1", port))]

    policy = AddressPolicy(lookup=lookup)
    policy.resolve("a.example", 443, trusted=True)
    with pytest.raises(TargetForbidden):  # a look-up made for the operator opens nothing for a tenant
        policy.resolve("a.example", 443)
    assert asked == [("a.example", 443)]


@pytest.mark.parametrize(
    ("failure", "transient"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), False),
        (UnicodeError("label too long"), False),
        (ValueError("a fault of the resolver"), False),
    ],
)
def test_a_name_that_is_not_found(failure: Exception, transient: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def lookup(host: str, port: int) -> list[tuple[int, Any]]:
        raise failure

    with pytest.raises(Unavailable) as missing:
        AddressPolicy(lookup=lookup).resolve("a.example", 443)
    assert (missing.value.code, missing.value.transient) == ("dns_failed", transient)


def test_a_failed_lookup_is_not_remembered() -> None:
    answers = iter([socket.gaierror(socket.EAI_AGAIN, "try again"), [(socket.AF_INET, ("1.1.1.1", 443))]])

    def lookup(host: str, port: int) -> Any:
        given = next(answers)
        if isinstance(given, Exception):
            raise given
        return given

    policy = AddressPolicy(lookup=lookup)
    with pytest.raises(Unavailable):
        policy.resolve("a.example", 443)
    assert policy.resolve("a.example", 443)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.zapier.com/hooks/catch/1/abc/",
        "https://hooks.example.com:8443/a?b=c",
        "https://xn--bcher-kva.example/",
        "HTTPS://Hooks.Example.com/a",
    ],
)
def test_urls_that_may_be_registered(url: str) -> None:
    AddressPolicy(lookup=finding()).check_url(url)


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("http://hooks.example.com/", "https://"),
        ("ftp://hooks.example.com/", "https://"),
        ("hooks.example.com", "https://"),
        ("https:///a", "host name"),
        ("https://user:pw@hooks.example.com/", "user name"),
        ("https://hooks.example.com@10.0.0.1/", "user name"),
        ("https://hooks.example.com/#a", "fragment"),
        ("https://hooks.example.com/#", "fragment"),
        ("https://1.1.1.1/", "IP address"),
        ("https://[::1]/", "IP address"),
        ("https://[fe80::1%25eth0]/", "IP address"),
        ("https://2130706433/", "number"),
        ("https://0x7f.1/", "number"),
        ("https://0x7f000001/", "number"),
        ("https://127.1/", "number"),
        ("https://localhost/", "full host name"),
        ("https://intranet:8443/", "full host name"),
        ("https://hooks.example.com:22/", "Port 22"),
        ("https://hooks.example.com:80/", "Port 80"),
        ("https://hooks.example.com:0/", "https://"),
        ("https://hooks.example.com:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://hooks.example.com/a b", "space"),
        ("https://hooks.example.com\\@10.0.0.1/", "backslash"),
        ("https://hooks.example.com/\r\nX: 1", "space"),
        ("https://bücher.example/", "ASCII"),
        ("https://hooks。example.com/", "ASCII"),
        ("", "space"),
    ],
)
def test_urls_that_may_not_be_registered(url: str, because: str) -> None:
    with pytest.raises(TargetForbidden) as no:
        AddressPolicy(lookup=finding("1.1.1.1")).check_url(url)
    assert because in str(no.value)
    assert "pw" not in str(no.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/a", "https://127.0.0.1/", "http://[::1]:80/", "http://localhost:25/"]
)
def test_an_allowed_private_network_takes_plain_http_numbers_and_any_port(url: str) -> None:
    AddressPolicy(LOOPBACK, lookup=finding("127.0.0.1", "::1")).check_url(url)


@pytest.mark.parametrize("url", ["http://hooks.example.com/", "https://hooks.example.com:22/", "http://10.0.0.1/"])
def test_an_allowed_private_network_opens_nothing_else(url: str) -> None:
    with pytest.raises(TargetForbidden):
        AddressPolicy(LOOPBACK, lookup=finding("1.1.1.1")).check_url(url)
