"""The network address of a client, also behind proxies."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from django.http import HttpRequest

from closient_auth.conf import conf


def get_client_address(request: HttpRequest) -> str:
    """Return the IP address of the client.

    With ``TRUSTED_PROXIES``, this is the address that the first of these proxies appended to ``X-Forwarded-For``. A client
    can send the header too, but its entries are further left. If the header is too short or this entry is not an IP
    address, and without proxies, return ``REMOTE_ADDR``. It is empty if the server listens on a Unix socket.
    """
    remote: str = request.META.get("REMOTE_ADDR", "")
    if (proxies := conf.TRUSTED_PROXIES) > 0:
        entries = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
        if len(entries) >= proxies and (address := _parse(entries[-proxies].strip())):
            return str(address)
    return str(_parse(remote) or remote)


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
