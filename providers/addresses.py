"""Which addresses may be called.

A webhook's URL is written by a tenant, so it may point into our own network. Two checks keep it out:
`AddressPolicy.check_url` when the URL is registered, and `AddressPolicy.resolve` for each new connection,
which checks every address behind the name; the connection then goes to one of exactly these, without a second
lookup. An address that the operator wrote (a provider's base URL, `Request.trusted`) is looked up and not
judged.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import SplitResult, urlsplit

from providers.errors import TargetForbidden, Unavailable

Network = IPv4Network | IPv6Network
Lookup = Callable[[str, int], Sequence[tuple[int, Any]]]  # (host, port) -> [(address family, socket address)]

CACHE_S = 30.0  # how long a name's addresses are believed; they were checked, so an old one is at worst a dead one
CACHE_SIZE = 4096
LOOKUPS_AT_ONCE = 32  # threads; the system's resolver cannot be interrupted, only left behind
DEFAULT_PORTS = {"http": 80, "https": 443}

_VISIBLE = re.compile(r"[\x21-\x5b\x5d-\x7e]+")  # printable ASCII without space and backslash
_NUMBER = re.compile(r"(?:\d+|0[xX][0-9a-fA-F]*)")
_UNICAST_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_SIX_TO_FOUR = ip_network("2002::/16")
# What `is_global` takes for public in some of our Pythons, and an address that answers inside Azure only.
_NEVER = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20", "168.63.129.16/32")))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address to connect to."""

    family: int
    sockaddr: Any


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from their notation: `("127.0.0.0/8", "::1")`."""
    return tuple(ip_network(text, strict=False) for text in texts)


def lookup(host: str, port: int) -> list[tuple[int, Any]]:
    """All addresses of a name, in the system's order."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, sockaddr) for family, _kind, _protocol, _name, sockaddr in found]


class AddressPolicy:
    """Public addresses, and the private networks that the operator allows. Shared by all threads."""

    def __init__(self, private_allowed: Sequence[Network] = (), *, lookup: Lookup = lookup) -> None:
        self._private_allowed = tuple(private_allowed)
        self._lookup = lookup
        self._known: dict[tuple[str, int], tuple[float, tuple[Endpoint, ...]]] = {}
        self._slots = threading.BoundedSemaphore(LOOKUPS_AT_ONCE)

    def check_url(self, url: str) -> None:
        """TargetForbidden, in one sentence, unless a tenant may register this URL.

        HTTPS on port 443 or on one from 1024 up; a name, not a number; no user, no fragment. Inside an
        allowed private network also plain HTTP, any port, and a number. A name under HTTPS is not looked up
        here: it is before every connection, and may not be known yet.
        """
        parts = _split(url)
        host = parts.hostname or ""
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        literal = _literal(host)
        if literal is not None:
            if not self._is_private_allowed(literal):
                raise TargetForbidden("The URL must hold a host name, not an IP address.")
            return
        _check_name(host)
        if parts.scheme == "http" or "." not in host:
            self._check_inside(host, port, "The URL must start with https:// and hold a full host name.")
        elif port != 443 and port < 1024:
            self._check_inside(host, port, f"Port {port} is not allowed: use 443, or one from 1024 up.")

    def _check_inside(self, host: str, port: int, otherwise: str) -> None:
        """TargetForbidden, saying `otherwise`, unless the host is in an allowed private network."""
        try:
            if self._private_allowed:
                self.resolve(host, port, secure=False)
                return
        except (TargetForbidden, Unavailable):
            pass
        raise TargetForbidden(otherwise)

    def resolve(
        self,
        host: str,
        port: int,
        *,
        secure: bool = True,
        trusted: bool = False,
        deadline: float | None = None,
    ) -> tuple[Endpoint, ...]:
        """The addresses that a connection to this host may use, at least one.

        Raises TargetForbidden when any of them is not allowed (a plain HTTP one must be in an allowed private
        network), and Unavailable when the name cannot be looked up by the deadline.
        """
        endpoints = self._endpoints(host, port, deadline)
        if not trusted:
            for endpoint in endpoints:
                self._check_endpoint(host, endpoint, secure)
        return endpoints

    def forget(self) -> None:
        """Look every name up anew."""
        self._known.clear()

    def _check_endpoint(self, host: str, endpoint: Endpoint, secure: bool) -> None:
        address = _unwrapped(ip_address(str(endpoint.sockaddr[0]).partition("%")[0]))
        if self._is_private_allowed(address):
            return
        if not is_public(address):
            raise TargetForbidden(f"The host {host} leads to {address}, which is not a public address.")
        if not secure:
            raise TargetForbidden(f"The host {host} is a public one, so its URL must start with https://.")

    def _is_private_allowed(self, address: IPv4Address | IPv6Address) -> bool:
        address = _unwrapped(address)
        return any(address in network for network in self._private_allowed)

    def _endpoints(self, host: str, port: int, deadline: float | None) -> tuple[Endpoint, ...]:
        now = time.monotonic()
        known = self._known.get((host, port))
        if known is not None and now - known[0] < CACHE_S:
            return known[1]
        endpoints = self._look_up(host, port, 5.0 if deadline is None else deadline - now)
        if len(self._known) >= CACHE_SIZE:
            self._known.clear()  # rare, and cheaper than to keep them in order
        self._known[(host, port)] = (now, endpoints)
        return endpoints

    def _look_up(self, host: str, port: int, within_s: float) -> tuple[Endpoint, ...]:
        """Ask the resolver on a thread of its own: it takes as long as it likes, we do not."""
        until = time.monotonic() + within_s
        if not self._slots.acquire(timeout=max(within_s, 0)):
            raise Unavailable("Too many name lookups are hanging.", code="dns_failed", transient=True)
        result: list[Sequence[tuple[int, Any]] | OSError | UnicodeError] = []
        done = threading.Event()

        def ask() -> None:
            try:
                result.append(self._lookup(host, port))
            except (OSError, UnicodeError) as error:
                result.append(error)
            finally:
                self._slots.release()
                done.set()

        threading.Thread(target=ask, name="dns-lookup", daemon=True).start()
        if not done.wait(max(until - time.monotonic(), 0)):
            raise Unavailable(f"The lookup of {host} took too long.", code="dns_failed", transient=True)
        return _found(host, result[0] if result else OSError("the resolver failed"))


def _found(host: str, result: Sequence[tuple[int, Any]] | OSError | UnicodeError) -> tuple[Endpoint, ...]:
    if isinstance(result, (OSError, UnicodeError)):
        temporary = isinstance(result, socket.gaierror) and result.errno == socket.EAI_AGAIN
        raise Unavailable(f"The host {host} was not found.", code="dns_failed", transient=temporary)
    if not result:
        raise Unavailable(f"The host {host} has no address.", code="dns_failed")
    return tuple(Endpoint(family, sockaddr) for family, sockaddr in result)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is a public, single host: not private, local, shared, reserved, or a group."""
    address = _unwrapped(address)
    if address.is_multicast or not address.is_global or any(address in network for network in _NEVER):
        return False
    return address.version == 4 or address in _UNICAST_V6


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one carries (mapped, NAT64, 6to4), or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR and address.sixtofour is not None:
        return address.sixtofour
    return address


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _check_name(host: str) -> None:
    # Resolvers read `2130706433` and `0x7f.1` as addresses; so do browsers, by the same rule.
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        raise TargetForbidden("The URL must hold a host name, not a number.")


def _split(url: str) -> SplitResult:
    """The parts of a URL. TargetForbidden where two readers could understand it differently."""
    if not _VISIBLE.fullmatch(url):
        raise TargetForbidden("The URL holds a space, a backslash or a character outside ASCII; write it encoded.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetForbidden("The URL cannot be read.") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or port == 0:
        raise TargetForbidden("The URL must start with https:// and hold a host name.")
    if "@" in parts.netloc:
        raise TargetForbidden("The URL must not hold a user name or password.")
    if "#" in url:
        raise TargetForbidden("The URL must not hold a fragment (#).")
    return parts
