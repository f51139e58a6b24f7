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
from urllib.parse import urljoin, urlsplit

from agent.errors import AgentError, NotFoundError, UnreachableError
from agent.serving_git import upload_pack as git

_SECONDS: Final = 120
PATH: Final = re.compile(rf"/\w[\w.-]*/(?!\.\.?/)[\w.-]+(?:/info/refs|/{git.SERVICE})", re.ASCII)
PASSED_ON: Final = ("Git-Protocol", "Content-Type", "User-Agent", "Accept")
ANSWERS: Final = (git.ADVERTISEMENT, git.RESULT)  # what else a host says is none of git's
MOVED: Final = (301, 302, 307, 308)
_FIRST_BYTES: Final = 64 << 10
_HEAD: Final = re.compile(rb"[ \0]symref=HEAD:refs/heads/([^ \0\n]+)")


class RedirectedError(Exception):
    """The host has the repository at another `path` (with its query), where its git is to ask."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        """Whoever asks follows: a POST would become a GET here."""


@contextmanager
def relay(
    host: str, target: str, headers: Mapping[str, str], asked: IO[bytes] | None = None
) -> Iterator[HTTPResponse]:
    """What `host` (`https://github.com`) answers to git's request for `target`, a path with its query.

    Raises NotFoundError where it has no such public repository, RedirectedError where it has moved on that host, UnreachableError when
    the host does not answer.
    """
    parts = urlsplit(target)
    name = name_of(parts.path)
    if not host.startswith(("https://", "http://")) or not PATH.fullmatch(parts.path):
        raise NotFoundError(f"there is no {parts.path} here: a local run serves its own code")
    passed = {key: headers[key] for key in PASSED_ON if headers.get(key)}
    if asked is not None:  # unzipped by now
        passed["Content-Length"] = str(os.fstat(asked.fileno()).st_size)
    query = f"?{parts.query}" if parts.query else ""
    url = f"{host}{parts.path}{query}"
    request = urllib.request.Request(url, data=asked, headers=passed)  # noqa: S310 - http(s), above
    try:
        with urllib.request.build_opener(_NoRedirects).open(request, timeout=_SECONDS) as answer:
            if answer.headers.get("Content-Type", "") not in ANSWERS:
                raise NotFoundError(f"{host} has no git repository {name}")
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in MOVED:
            raise RedirectedError(find_new_path(url, error.headers.get("Location", ""))) from None
        raise describe_refusal(host, name, error.code) from None
    except (urllib.error.URLError, HTTPException, TimeoutError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UnreachableError(f"{host}, where {name} would be, can't be reached: {why}") from None


def name_of(path: str) -> str:
    """The `owner/name` in the path of a request."""
    return path.removeprefix("/").removesuffix("/info/refs").removesuffix(f"/{git.SERVICE}")


def find_new_path(url: str, location: str) -> str:
    """The path, with its query, of a redirect from `url` on the same host. Raises NotFoundError for one that leads elsewhere."""
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    if (new.scheme, new.netloc) != (old.scheme, old.netloc) or not PATH.fullmatch(new.path):
        raise NotFoundError(
            f"{old.netloc} sends whoever asks for {name_of(old.path)} to another host, which is not followed",
            hint="name the repository where it is",
        )
    return f"{new.path}?{new.query}" if new.query else new.path


def find_default_branch(host: str, name: str) -> str:
    """The default branch of the public repository `owner/name`, "" of an empty one. Raises as `relay` does, when it has moved twice."""
    try:
        return _read_default_branch(host, name)
    except RedirectedError as moved:
        return _read_default_branch(host, name_of(urlsplit(moved.path).path))


def _read_default_branch(host: str, name: str) -> str:
    with relay(host, f"/{name}/info/refs?service={git.SERVICE}", {"User-Agent": "git/2"}) as answer:
        return find_head(answer.read(_FIRST_BYTES))


def find_head(advertisement: bytes) -> str:
    """The default branch that a host's list of refs begins with; "" of an empty repository."""
    found = _HEAD.search(advertisement)
    return found[1].decode("utf-8", "replace") if found else ""


def describe_refusal(host: str, name: str, status: int) -> AgentError:
    """What is raised where the host answers a request about its repository `name` with that status."""
    if status in (401, 403, 404):  # GitHub says 401 to nobody's git, also of what is not there
        return NotFoundError(
            f"{host} has no public repository {name}",
            hint="for a private one give the checkout a `token` of yours",
        )
    return UnreachableError(f"{host} answers {status} for {name}")
