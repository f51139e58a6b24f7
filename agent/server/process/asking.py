"""Whom the server asks over HTTP on its own (git hosts, the sign-in provider): their answers are read with bounds.

All that the server reads from outside over HTTP it reads here; who answers need not be trusted with its memory or its time.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.asking import give_up_on_sniffio
from agent.errors import UnreachableError

_MOST_BYTES = 1 << 20
_AS_IT_IS = {
    "Accept-Encoding": "identity"
}  # a few bytes that unpack to gigabytes are not asked for, nor unpacked


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """An answer that is here, all of it."""

    status: int
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether what was asked for is done."""
        return 200 <= self.status < 300


async def ask(
    method: str,
    url: str,
    *,
    seconds: float,
    most_bytes: int = _MOST_BYTES,
    where: str = "",
    trust_env: bool = True,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> OutsideAnswer:
    """The answer to a request, all of it within `seconds`; redirects are not followed.

    `where`: what the place is called in errors; empty: `url`. Raises UnreachableError, also for an answer over `most_bytes`.
    """
    import httpx  # the first request waits for it, not each start of a server

    give_up_on_sniffio()
    where = where or url
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(timeout=seconds, follow_redirects=False, trust_env=trust_env) as client,
            client.stream(method, url, headers={**_AS_IT_IS, **(headers or {})}, **more) as response,
        ):
            content = bytearray()
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > most_bytes:
                    raise UnreachableError(f"the host's answer is over {most_bytes} bytes", where=where)
    except TimeoutError:
        raise UnreachableError(f"the host does not answer within {seconds:g} s", where=where) from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise UnreachableError(f"the host does not answer: {reason}", where=where) from None
    return OutsideAnswer(response.status_code, bytes(content))
