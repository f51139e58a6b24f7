"""Patterns of a policy: how they are written, and what a reference may be called when they are matched.

A pattern that allows is compared with exactly what a reference is (`allowed_names`), one that denies with all that it
could be called (`denied_names`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from agent.resolve.reference import ImageReference, RepositoryReference, UrlReference

# What comes from elsewhere: a policy judges these.
Fetched = RepositoryReference | UrlReference | ImageReference

_IMAGE = "docker"
_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}


@dataclass(frozen=True, slots=True)
class ActionPattern:
    """A pattern, ready to be matched. `ref` is None where it is for every ref."""

    name: re.Pattern[str]
    ref: re.Pattern[str] | None

    def matches(self, names: Sequence[str], refs: Sequence[str]) -> bool:
        """Whether one of `names` and one of `refs` is meant."""
        if self.ref is not None and not any(self.ref.fullmatch(ref) for ref in refs):
            return False
        return any(self.name.fullmatch(name) for name in names)


def compile_permission(pattern: str) -> ActionPattern:
    """A pattern of `allow`: case, scheme and port count."""
    scheme, host, path, ref = _split(pattern)
    prefix = f"{scheme.lower()}://{host.lower()}" if scheme else ""
    return ActionPattern(_glob(f"{prefix}{path}"), None if ref is None else _glob(ref))


def compile_denial(pattern: str) -> ActionPattern:
    """A pattern of `deny`: case, scheme and port don't count."""
    scheme, host, path, ref = _split(pattern)
    prefix = f"://{re.sub(r':[0-9*]+$', '', host)}" if scheme else ""
    name = _glob(f"{prefix}{path}", re.IGNORECASE)
    return ActionPattern(name, None if ref is None else _glob(ref, re.IGNORECASE))


def allowed_names(reference: Fetched, url: str) -> Iterator[str]:
    """The names that may allow `reference` at `url`: exactly what it is."""
    if isinstance(reference, ImageReference):
        yield str(reference)
        return
    if isinstance(reference, RepositoryReference):
        yield from _with_folders(f"{reference.owner}/{reference.repository}", reference.path)
    scheme, host, port, path = _tidy(url)
    yield from _with_folders(f"{scheme}://{host}{port}{path}", reference.path)


def denied_names(reference: Fetched, url: str) -> Iterator[str]:
    """The names that may deny `reference` at `url`: all that it could be called."""
    if isinstance(reference, ImageReference):
        yield f"://{reference.image}"
        return
    if isinstance(reference, RepositoryReference):
        repository = f"{reference.owner}/{reference.repository}"
        yield from _with_folders(repository.removesuffix(".git"), reference.path)
    if url:
        _, host, _, path = _tidy(url)
        yield from _with_folders(f"://{host}{path}", reference.path)
        yield from _with_folders("/".join(path.strip("/").split("/")[-2:]), reference.path)


def denied_refs(reference: Fetched, ref: str) -> Iterator[str]:
    """The refs that may deny it: as written, in short, and what it is pinned to."""
    yield ref
    if not isinstance(reference, ImageReference):
        yield reference.ref
        yield reference.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _split(pattern: str) -> tuple[str, str, str, str | None]:
    """Scheme, host, path and ref; no scheme and no host in `owner/repo`, no ref where there is no `@`."""
    scheme, separator, rest = pattern.partition("://")
    if scheme == _IMAGE:
        return _IMAGE, "", rest, None
    if not separator:
        scheme, rest = "", f"/{pattern}"
    authority, slash, rest = rest.partition("/")
    path, at, ref = rest.partition("@")
    path = path.rstrip("/").removesuffix(".git")
    return scheme, authority.rpartition("@")[2], f"{slash if scheme else ''}{path}", ref if at else None


def _glob(pattern: str, flags: int = 0) -> re.Pattern[str]:
    parts = re.split(r"(\*+)", pattern)
    wild = {"*": "[^/]*"}
    regex = "".join(wild.get(part, ".*") if part.startswith("*") else re.escape(part) for part in parts)
    return re.compile(regex, re.DOTALL | flags)


def _with_folders(repository: str, path: str) -> Iterator[str]:
    """The repository, and each folder on the way to `path`."""
    yield repository
    for segment in path.split("/") if path else ():
        repository = f"{repository}/{segment}"
        yield repository


def _tidy(url: str) -> tuple[str, str, str, str]:
    """Scheme, host, `:port` and path of `url` in one form: no user, no usual port, nothing encoded, no `.git`."""
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _DEFAULT_PORTS.get(parts.scheme)} else f":{parts.port}"
    path = re.sub("/+", "/", unquote(parts.path)).rstrip("/").removesuffix(".git")
    return parts.scheme, host, port, path
