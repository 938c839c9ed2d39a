"""Which hosts events may be sent to: those of the internet, and what the operator allows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mplus_ray.model.errors import InvalidInputError

_MAX_URL = 2000  # characters
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Of special use, though the standard library does not say so of all of them in every version.
_SPECIAL = [
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "64:ff9b:1::/48", "2001::/23", "3fff::/20")
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """The host is not one that events may be sent to."""


@dataclass(frozen=True)
class WebhookHosts:
    """Hosts that the operator allows whatever their address, by HTTP too.

    Attributes:
        allowed: names or addresses, in small letters.
    """

    allowed: frozenset[str] = frozenset()

    def check_url(self, url: str) -> None:
        """Refuse what no event can be sent to.

        Raises:
            InvalidInputError: why.
        """
        try:
            parsed = urlsplit(url)
            host, port = (parsed.hostname or "").lower(), parsed.port
        except ValueError as error:
            raise InvalidInputError(f"the url is none: {error}") from error
        if len(url) > _MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
            raise InvalidInputError(
                f"a url has at most {_MAX_URL} characters, of ASCII and without spaces"
            )
        allowed = host in self.allowed
        if parsed.scheme != "https" and not (allowed and parsed.scheme == "http"):
            raise InvalidInputError(
                "the url has to begin with https://; http is for hosts that the operator allows "
                "(MPLUS_WEBHOOK_HOSTS)"
            )
        if not host or "@" in parsed.netloc or parsed.fragment or port == 0:
            raise InvalidInputError(
                "the url needs a host, and no user, password or fragment; what a receiver is to "
                "know goes into its path, and it knows the sender by the signature"
            )
        literal = _literal(host)
        if literal is not None and not allowed and not is_outside(literal):
            raise InvalidInputError(
                f"{host} is not an address of the internet; the operator can allow it with "
                "MPLUS_WEBHOOK_HOSTS"
            )

    def usable(self, host: str, found: Iterable[str]) -> list[str]:
        """The addresses of a host that may be connected to.

        Raises:
            RefusedAddressError: one of them is not outside.
        """
        addresses = list(dict.fromkeys(found))
        if host.lower() in self.allowed:
            return addresses
        for address in addresses:
            if not is_outside(ipaddress.ip_address(address.partition("%")[0])):
                raise RefusedAddressError("its host has an address that is not of the internet")
        return addresses


def is_outside(address: Address) -> bool:
    """Whether an address is one of the public internet, also that which another one stands for."""
    if isinstance(address, ipaddress.IPv6Address):
        meant: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
        meant += address.teredo or ()
        if address in _NAT64:
            meant.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(one is not None and not is_outside(one) for one in meant):
            return False
        if address.ipv4_mapped is not None:
            return True
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def read_hosts(text: str | None) -> WebhookHosts:
    """Hosts with commas between.

    Raises:
        InvalidInputError: one is none.
    """
    named = [host.strip().lower() for host in (text or "").split(",") if host.strip()]
    for host in named:
        if _literal(host) is None and not _HOST.fullmatch(host):
            raise InvalidInputError(
                f"webhook_hosts: {host!r} is no host; give names or addresses, without a scheme, "
                "port or path: hooks.internal,10.0.0.5"
            )
    return WebhookHosts(frozenset(named))
