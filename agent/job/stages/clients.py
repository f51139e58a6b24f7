"""Clients of HTTP, for all that stages connect with."""

import contextlib
import ssl
from functools import cache
from typing import TYPE_CHECKING, Any

from agent.asking import give_up_on_sniffio

if TYPE_CHECKING:
    import httpx


def make_client(**options: Any) -> "httpx.AsyncClient":
    """A client of httpx's."""
    import httpx

    give_up_on_sniffio()
    return httpx.AsyncClient(verify=_trust(), **options)


async def warm_up_clients() -> None:
    """Load all that a request needs, by one to a socket that is not there."""
    import httpx

    make_client()
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(verify=_trust(), uds="/dev/null/none")
    ) as client:
        with contextlib.suppress(httpx.HTTPError):
            await client.post("http://localhost/", json={})


@cache
def _trust() -> ssl.SSLContext:
    """Whom TLS trusts: one for all clients of a process, and for those that are forked from it. Each would take a megabyte."""
    import httpx

    return httpx.create_ssl_context()
