"""Other repositories of the host that a local run's code comes from: what is public there is handed on to its jobs, as it comes.

    job's git --GET /OWNER/NAME/info/refs, POST /OWNER/NAME/git-upload-pack--> loopback --the same--> host

Nobody's credentials go along: neither the job's, which are for this machine, nor those of whoever runs the flow. So an action sees
what anybody on this machine's network may see.
"""

import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import IO, Final
from urllib.parse import urlsplit

from agent.errors import NotFoundError, UnreachableError
from agent.serving_git import upload_pack as git

_SECONDS: Final = 120
_PATH: Final = re.compile(rf"/[\w-][\w.-]*/[\w-][\w.-]*(?:/info/refs|/{git.SERVICE})")
_PASSED_ON: Final = ("Git-Protocol", "Content-Type", "User-Agent", "Accept")
_FIRST_BYTES: Final = 64 << 10
_HEAD: Final = re.compile(rb"[ \0]symref=HEAD:refs/heads/([^ \0\n]+)")


@contextmanager
def relay(
    host: str, target: str, headers: Mapping[str, str], asked: IO[bytes] | None = None
) -> Iterator[HTTPResponse]:
    """What `host` (`https://github.com`) answers to git's request for `target`, a path with its query.

    Raises NotFoundError where it has no such public repository, UnreachableError when it does not answer.
    """
    parts = urlsplit(target)
    name = parts.path.removeprefix("/").removesuffix("/info/refs").removesuffix(f"/{git.SERVICE}")
    if not host.startswith(("https://", "http://")) or not _PATH.fullmatch(parts.path):
        raise NotFoundError(f"there is no {parts.path} here: a local run serves its own code")
    passed = {key: headers[key] for key in _PASSED_ON if headers.get(key)}
    if asked is not None:  # unzipped by now
        passed["Content-Length"] = str(os.fstat(asked.fileno()).st_size)
    query = f"?{parts.query}" if parts.query else ""
    request = urllib.request.Request(f"{host}{parts.path}{query}", data=asked, headers=passed)  # noqa: S310 - http(s), above
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404):  # GitHub says 401 to nobody's git, also of what is not there
            raise NotFoundError(
                f"{host} has no public repository {name}; others are not read in a local run"
            ) from None
        raise UnreachableError(f"{host} answers {error.code} for {name}") from None
    except (urllib.error.URLError, HTTPException, TimeoutError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UnreachableError(f"{host}, where {name} would be, can't be reached: {why}") from None


def find_default_branch(host: str, name: str) -> str:
    """The default branch of the public repository `owner/name`, "" of an empty one. Raises as `relay` does."""
    with relay(host, f"/{name}/info/refs?service={git.SERVICE}", {"User-Agent": "git/2"}) as answer:
        found = _HEAD.search(answer.read(_FIRST_BYTES))
    return found[1].decode("utf-8", "replace") if found else ""
