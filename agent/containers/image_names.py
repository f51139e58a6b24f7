"""Image names: all spellings that mean the same one, for rules that name images.

`[images] allow` takes a spelling for what an engine makes of it and for nothing else. `[images] deny` has no regard for case, and
looks through what a registry's name may be dressed in: a port, the dot at the end of a host name, another host of Docker Hub's.
Source: distribution/reference (how a name is read), docs.docker.com (the hosts of Docker Hub).
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com")


def is_allowed_by(image: str, patterns: Iterable[str]) -> bool:
    """Whether one of `patterns` names `image`, with or without the registry that is meant anyway, or its repository alone.

    The tag beside a digest means nothing to an engine: alone it allows nothing.
    """
    bare, tag, digest = _split(image)
    suffixes = ("", f"@{digest}", f":{tag}@{digest}") if digest else ("", f":{tag}")
    names = [form + suffix for form in _repositories(bare) for suffix in suffixes]
    return _match(names, patterns)


def is_denied_by(image: str, pattern: str) -> bool:
    """Whether `pattern` could mean `image`, however either is spelled."""
    bare, tag, digest = _split(image.lower())
    suffixes = ("", f":{tag}", f"@{digest}", f":{tag}@{digest}") if digest else ("", f":{tag}")
    names = [form + suffix for form in _disguises(bare) for suffix in suffixes]
    return _match(names, _disguises(pattern.lower()))


def _split(image: str) -> tuple[str, str, str]:
    """(name, tag, digest); the tag `latest` where neither is written."""
    name, _, digest = image.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return head + slash + last, tag or ("" if digest else "latest"), digest


def _repositories(name: str) -> Iterator[str]:
    """The short and the long spelling of a repository at Docker Hub; of another the only one."""
    domain, slash, rest = name.partition("/")
    is_hub = not slash or not (set(".:") & set(domain) or domain == "localhost")
    if is_hub or domain.lower() in _HUB:
        short = (name if is_hub else rest).removeprefix("library/")
        yield short
        yield f"docker.io/{short if '/' in short else f'library/{short}'}"
    else:
        yield name


def _disguises(name: str) -> set[str]:
    """All that a repository, or a pattern, could be called by: as it stands, and with the plain host of its registry."""
    domain, slash, rest = name.partition("/")
    host = domain.partition(":")[0].rstrip(".")
    plain = f"{host}/{rest}" if slash and ("." in host or host == "localhost") else name
    return {name, *_repositories(name), *_repositories(plain)}


def _match(names: Iterable[str], patterns: Iterable[str]) -> bool:
    patterns = list(patterns)
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
