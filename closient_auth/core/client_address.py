"""The network address of a client, also behind proxies."""

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.http import HttpRequest

from closient_auth.conf import conf

# Some proxies append the port: ``192.0.2.1:4711``, ``[2001:db8::1]:4711``.
_PORT = re.compile(r"\A(?:([0-9.]+):[0-9]+|\[([0-9a-fA-F:.]+)\](?::[0-9]+)?)\Z")


def get_client_address(request: HttpRequest) -> str:
    """Return the IP address of the client, for limits and the audit log.

    If ``find_client_address()`` does not know it, this is ``REMOTE_ADDR``: the address of a proxy, or an empty text if the
    server listens on a Unix socket.
    """
    remote: str = request.META.get("REMOTE_ADDR", "")
    return str(find_client_address(request) or _parse(remote) or remote)


def find_client_address(request: HttpRequest) -> IPv4Address | IPv6Address | None:
    """Return the IP address of the client, or ``None`` if it is not certain.

    With ``TRUSTED_PROXIES``, this is the address that the first of these proxies appended to ``X-Forwarded-For``, and
    without proxies ``REMOTE_ADDR``. A client can send the header too, but its entries are further left. If the header has
    fewer entries than there are proxies, the request has not passed all of them.
    """
    if (proxies := conf.TRUSTED_PROXIES) <= 0:
        return _parse(request.META.get("REMOTE_ADDR", ""))
    entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    return _parse(_PORT.sub(r"\1\2", entries[-proxies].strip())) if len(entries) >= proxies else None


def get_client_network(address: str) -> str:
    """Return the address of a client for its rate limit, as short as possible: a /64 network of IPv6 has one client."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed.packed, 64), strict=False))
    # Without an address, all clients share one limit.
    return str(parsed or "unknown")


# A request asks several times, and a client sends several requests.
@lru_cache(maxsize=1024)
def _parse(address: str) -> IPv4Address | IPv6Address | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    # A server that listens on IPv6 maps the addresses of IPv4 clients (RFC 4291, section 2.5.5.2).
    return getattr(parsed, "ipv4_mapped", None) or parsed
