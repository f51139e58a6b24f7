"""Clients, as bounds count them."""

import ipaddress

_NET6 = 64  # bits: what one subscriber has (RFC 6177), and may choose addresses from


def group_of(address: str) -> str:
    """What is counted as one client: an IPv4 address, or the network of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address or "-"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), _NET6), strict=False))
    return address
