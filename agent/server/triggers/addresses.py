"""Addresses of the public internet: a table of our own, since `ipaddress` changes its mind from Python to Python.

Sources: IANA's registries of special-purpose addresses (IPv4, RFC 6890; IPv6, of which 2000::/3 alone is given out), RFC 6052
(NAT64), RFC 3056 and 7526 (6to4), RFC 4380 (Teredo), RFC 3879 (site-local), RFC 4291 (IPv4-mapped and -compatible).
Stricter than IANA where no git host is: the anycast addresses of 192.0.0.0/24 and 2001::/23 are the nearest router's.
"""

import ipaddress
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's hosts, for their own machines: keys and certificates
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
        ),
    )
)
_GIVEN_OUT: Final = ipaddress.IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


def meant_address(address: Address) -> Address:
    """The IPv4 address that `address` is another spelling of (IPv4-mapped, NAT64's well-known prefix), else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address


def is_public(address: Address) -> bool:
    """Whether anybody on the internet may be spoken to there; of what a tunnel leads to (6to4, Teredo) nobody knows."""
    meant = meant_address(address)
    if isinstance(meant, ipaddress.IPv4Address):
        return not any(meant in network for network in _NOT_PUBLIC_4)
    return meant in _GIVEN_OUT and not any(meant in network for network in _NOT_PUBLIC_6)
