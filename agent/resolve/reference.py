"""References: what the text behind `uses:` names. Pure; the same for every dialect. `docs/actions.md` shows each form.

| written                                   | means                                                              |
| ----------------------------------------- | ------------------------------------------------------------------ |
| `owner/repo@ref`, `owner/repo/path@ref`   | a repository at each of the configured places, in their order      |
| `https://host/owner/repo[/path]@ref`      | that repository: two segments, then the path (as on Gitea)         |
| `https://host/any/depth.git[/path]@ref`   | a segment that ends with `.git` ends the repository                |
| `https://host/any/depth//path@ref`        | `//` ends the repository; also `ssh://`, `http://` and `file://`   |
| `./path`                                  | a folder of the workspace                                          |
| `$/path`                                  | a folder of the repository in which this very line stands          |
| `docker://image`                          | a container image                                                  |

Whatever could be taken for an option by git, climb out of a folder or hide in a log is refused here, before anyone
acts upon it; a message never shows credentials.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from agent.errors import UsageError
from agent.redaction import redact

SCHEMES = ("https", "http", "ssh", "file")
LONGEST = 2000  # characters of a reference; a URL that is longer is no URL
_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class RepositoryReference:
    """`owner/repo[/path]@ref`: where it lies is the agent's business (`actions_urls`)."""

    owner: str
    repository: str
    path: str  # "" is the repository's root
    ref: str

    def __str__(self) -> str:
        return f"{'/'.join(part for part in (self.owner, self.repository, self.path) if part)}@{self.ref}"


@dataclass(frozen=True, slots=True)
class UrlReference:
    """A repository by its full address; `url` is what git is given."""

    url: str
    path: str
    ref: str

    def __str__(self) -> str:
        return f"{self.url}{'//' if self.path else ''}{self.path}@{self.ref}"


@dataclass(frozen=True, slots=True)
class WorkspaceReference:
    """`./path`: a folder of the workspace, as it is when the step begins."""

    path: str

    def __str__(self) -> str:
        return f"./{self.path}"


@dataclass(frozen=True, slots=True)
class SelfReference:
    """`$/path`: a folder of the repository, at the commit, that the flow or action with this line comes from."""

    path: str

    def __str__(self) -> str:
        return f"$/{self.path}"


@dataclass(frozen=True, slots=True)
class ImageReference:
    """`docker://image`: a container to run."""

    image: str

    def __str__(self) -> str:
        return f"docker://{self.image}"


Reference = RepositoryReference | UrlReference | WorkspaceReference | SelfReference | ImageReference


def parse_reference(text: str) -> Reference:
    """What `text` (the value of a `uses:`) names.

    Raises UsageError when it has none of the known forms or could do harm.
    """
    if len(text) > LONGEST or not text.isprintable() or text != text.strip():
        raise _refuse(text, "a `uses:` is one short line without control characters or spaces around it")
    if text.startswith("./"):
        return WorkspaceReference(_read_path(text, text[2:]))
    if text.startswith("$/"):
        return SelfReference(_read_path(text, text[2:]))
    if text.startswith("docker://"):
        return ImageReference(_read_image(text, text.removeprefix("docker://")))
    scheme, separator, _ = text.partition("://")
    if separator and "/" not in scheme and "@" not in scheme:
        return _read_url(text, scheme)
    if "::" in text:
        raise _refuse(text, f"the address of a repository begins with {_schemes()}")
    return _read_repository(text)


def check_ref(ref: str) -> str:
    """Why `ref` can't be a branch, tag or commit, or "" when it can. The rules are `git check-ref-format`'s."""
    if ref.startswith("-"):
        return "a ref doesn't begin with '-'"
    if not ref or not ref.isprintable() or _FORBIDDEN_IN_REF.search(ref):
        return "after the '@' stands a branch, a tag or a commit"
    if any(part.startswith(".") or part.endswith((".lock", ".")) or not part for part in ref.split("/")):
        return "after the '@' stands a branch, a tag or a commit"
    return ""


def check_segments(path: str, *, may_hold_git: bool = False) -> str:
    """Why the relative `path` may not be followed inside a folder, or "" when it may."""
    for segment in path.split("/") if path else ():
        if segment in {"", ".", ".."}:
            return "a path stays inside its folder: no '..'"
        if segment.startswith("-"):
            return "no part of a path begins with '-'"
        if segment.lower() == ".git" and not may_hold_git:
            return "a path doesn't lead into '.git'"
    return "write a path with '/'" if "\\" in path else ""


_FORBIDDEN_IN_REF = re.compile(r"[ ~^:?*\[\\]|\.\.|@\{")
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_SCP = re.compile(r"([\w.-]+@[\w.-]+):(.+)")


def _read_repository(text: str) -> RepositoryReference:
    scp = _SCP.fullmatch(text)
    if scp:
        raise _refuse(text, f"write it as ssh://{scp[1]}/{scp[2]}")
    name, _, ref = text.partition("@")
    segments = [segment for segment in name.split("/") if segment]
    if text.count("@") != 1 or not ref or len(segments) < 2 or text.startswith("/"):
        raise _refuse(text, "name a branch, tag or commit after '@', as in actions/checkout@v4")
    owner, repository, *rest = segments
    for part in (owner, repository):
        if not _NAME.fullmatch(part) or part in {".", ".."}:
            raise _refuse(text, "an owner and a repository are letters, digits, '-', '_' and '.'")
    return RepositoryReference(owner, repository, _read_path(text, "/".join(rest)), _read_ref(text, ref))


def _read_url(text: str, scheme: str) -> UrlReference:
    if scheme.lower() not in SCHEMES:
        raise _refuse(text, f"the address of a repository begins with {_schemes()}")
    address, _, ref = text.rpartition("@")
    if "/" not in address.partition("://")[2]:
        raise _refuse(text, "name a branch, tag or commit after '@', as in https://host/owner/repo@v1")
    place, whole = _split_address(text, address)
    repository, path = _split_repository(whole, is_file=scheme.lower() == "file")
    reason = check_segments(
        unquote(repository).strip("/"), may_hold_git=True
    )  # a host may read `%2e%2e` as `..`
    if reason or not repository.strip("/"):
        raise _refuse(text, reason or "the repository is missing")
    return UrlReference(place + repository, _read_path(text, path), _read_ref(text, ref))


def _split_address(text: str, address: str) -> tuple[str, str]:
    """`scheme://host:port` and the path behind it."""
    try:
        parts = urlsplit(address)
        host, password, user = parts.hostname or "", parts.password, parts.username or ""
        _ = parts.port  # reading it is what checks it
    except ValueError:
        raise _refuse(text, "this is not a URL") from None
    reason = ""
    if parts.query or parts.fragment:
        reason = "a repository's address has no '?' and no '#'"
    elif password is not None or (user and parts.scheme != "ssh"):
        reason = "a flow holds no credentials: keep them in git's own configuration (docs/actions.md)"
    elif host.startswith("-") or user.startswith("-"):
        reason = "a host doesn't begin with '-'"
    elif bool(host) == (parts.scheme == "file"):
        reason = "file:// is followed by an absolute path, any other scheme by a host"
    elif not unquote(parts.path).isprintable():
        reason = "a path has no control characters"
    if reason:
        raise _refuse(text, reason)
    return f"{parts.scheme}://{parts.netloc}", parts.path


def _split_repository(path: str, *, is_file: bool) -> tuple[str, str]:
    """The repository's part of a URL's path, and the path inside the repository."""
    marker = path.find("//", 1)
    if marker > 0:
        return path[:marker], path[marker + 2 :]
    segments = path.split("/")
    for place, segment in enumerate(segments):
        if segment.endswith(".git"):
            return "/".join(segments[: place + 1]), "/".join(segments[place + 1 :])
    if is_file:
        return path, ""
    return "/".join(segments[:3]), "/".join(segments[3:])


def _read_path(text: str, path: str) -> str:
    """`path` without doubled, closing or `.` segments; GitHub takes those too."""
    tidy = "/".join(segment for segment in path.split("/") if segment not in {"", "."})
    reason = check_segments(tidy)
    if reason:
        raise _refuse(text, reason)
    return tidy


def _read_ref(text: str, ref: str) -> str:
    reason = check_ref(ref)
    if reason:
        raise _refuse(text, reason)
    return ref


def _read_image(text: str, image: str) -> str:
    if not _IMAGE.fullmatch(image):
        raise _refuse(text, "after docker:// stands an image, as in docker://alpine:3.20")
    return image


def _schemes() -> str:
    return ", ".join(f"{scheme}://" for scheme in SCHEMES[:-1]) + f" or {SCHEMES[-1]}://"


def _refuse(text: str, hint: str) -> UsageError:
    shown = redact(text)
    shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
    shown = shown if shown.isprintable() else ascii(shown)[1:-1]
    # GitHub's own sentence, which people search for.
    return UsageError(f"Expected format {{org}}/{{repo}}[/path]@ref. Actual '{shown}'", hint=redact(hint))
