"""Moves of a repository, told by a redirect of its host, and waits that it asks for. git itself follows none (`git_command`).

Whoever fetches asks the machine's policy about the new place first, and tells the user. Only the address is looked at here: the
new place is not spoken to, and credentials are not sent to it.
"""

from email.utils import parsedate_to_datetime
from urllib.parse import urljoin, urlsplit

from agent.asking import ask_place
from agent.errors import UnreachableError

_SERVICE = "/info/refs?service=git-upload-pack"
_SECONDS = 20.0
_USUAL_WAIT = 60.0
_LONGEST_WAIT = 3600.0
_CODES = (301, 302, 303, 307, 308)


def find_move(url: str) -> str:
    """The URL of the repository that `url` redirects to; "" when that can't be told or is no place that git may ask."""
    import httpx

    try:
        status, headers = ask_place(f"{url}{_SERVICE}", _SECONDS)
        if status not in _CODES:
            return ""
        target = urljoin(url, headers.get("location", ""))
    except (httpx.HTTPError, httpx.InvalidURL, UnreachableError, ValueError):
        return ""
    place = target.removesuffix(_SERVICE)
    if place == target or not _is_safe(urlsplit(url).scheme, place):
        return ""
    return place


def find_wait(url: str) -> float:
    """Seconds that the host of the repository at `url`, which has answered 429, wants not to be asked; git does not tell of it.

    Source: RFC 9110, section 10.2.3 (`Retry-After`: seconds or a date); a minute where nothing is said, an hour at most.
    """
    import httpx

    try:
        _, headers = ask_place(f"{url}{_SERVICE}", _SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, UnreachableError, ValueError):
        return _USUAL_WAIT
    said = headers.get("retry-after", "").strip()
    if said.isdecimal():
        return min(max(float(said), 1.0), _LONGEST_WAIT)
    try:
        until = parsedate_to_datetime(said).timestamp()
        now = parsedate_to_datetime(headers["date"]).timestamp()  # by the host's own clock
    except (ValueError, KeyError):
        return _USUAL_WAIT
    return min(max(until - now, 1.0), _LONGEST_WAIT)


def _is_safe(scheme: str, place: str) -> bool:
    """Whether `place` is one that git may be sent to from a `scheme` URL: never from TLS to clear text, never with a password."""
    try:
        parts = urlsplit(place)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        return False
    allowed = ("https",) if scheme == "https" else ("https", "http")
    is_plain = place.isprintable() and " " not in place and not parts.query and not parts.fragment
    return parts.scheme in allowed and bool(parts.hostname) and "@" not in parts.netloc and is_plain
