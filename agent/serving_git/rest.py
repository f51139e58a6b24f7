"""The few calls of GitHub's REST API that actions make about their own repository, answered from its git repository.

    GET repos/OWNER/NAME                          default_branch and what else is known
        …/commits, …/commits/REF                  with the files that it changes
        …/compare/BASE...HEAD
        …/branches, …/branches/NAME, …/tags, …/git/ref/REF, …/git/matching-refs/REF
        …/releases, …/releases/latest, …/releases/tags/TAG      git knows tags only: each is shown as a release
        …/contents/PATH
        …/pulls/N, …/pulls/N/files                of the request that the run is about

All others get GitHub's own error. Source: GitHub's REST API, version 2022-11-28, the members that `@octokit` and common actions read.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from agent.errors import AgentError, NotFoundError
from agent.serving_git.reading import Ref, RepositoryReader
from agent.serving_git.shapes import (
    About,
    describe_error,
    describe_repository,
    show_commit,
    show_entry,
    show_file,
    show_named,
    show_ref,
    show_release,
)

_MOST_A_PAGE: Final = 100
_MOST_COMMITS: Final = 250
_MOST_FILES: Final = 3000


@dataclass(frozen=True, slots=True)
class RestReply:
    """A status and what is JSON; with `more` there is a next page."""

    status: int
    body: Any
    more: bool = False


def answer(about: About, path: str, query: Mapping[str, str]) -> RestReply:
    """What `GET repos/OWNER/NAME/PATH` gives. Blocks while git works."""
    reader = RepositoryReader(about.folder)
    for pattern, handler in _ROUTES:
        if match := re.fullmatch(pattern, path):
            try:
                return handler(about, reader, [unquote(part) for part in match.groups()], query)
            except NotFoundError as error:
                return RestReply(404, describe_error(404, error.what))
            except AgentError as error:
                return RestReply(422, describe_error(422, error.what))
    return refuse(f"repos/{about.name}/{path}")


def refuse(path: str) -> RestReply:
    """The answer to what is not served."""
    said = f"Not Found: {path[:200]} is not served here; this server answers for the run's own repository, and only what git knows of it"
    return RestReply(404, describe_error(404, said))


def _repository(
    about: About, _reader: RepositoryReader, _parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    return RestReply(200, describe_repository(about))


def _commits(
    about: About, reader: RepositoryReader, _parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    start = reader.find_commit(query.get("sha") or about.default_branch)
    size, page = _page(query)
    found = reader.list_commits(start, most=size + 1, skip=size * (page - 1))
    return RestReply(200, [show_commit(about, one) for one in found[:size]], more=len(found) > size)


def _commit(
    about: About, reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    (found,) = reader.list_commits(reader.find_commit(parts[0]), most=1)
    changes = reader.list_changes(next(iter(found.parents), ""), found.sha)[:_MOST_FILES]
    added, removed = sum(one.additions for one in changes), sum(one.deletions for one in changes)
    stats = {"additions": added, "deletions": removed, "total": added + removed}
    return RestReply(
        200, {**show_commit(about, found), "stats": stats, "files": [show_file(one) for one in changes]}
    )


def _compare(
    about: About, reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    base, head = (reader.find_commit(part.rpartition(":")[2]) for part in parts)
    merge_base = reader.merge_base(base, head)
    ahead, behind = reader.count(f"{base}..{head}"), reader.count(f"{head}..{base}")
    status = ("diverged" if ahead else "behind") if behind else ("ahead" if ahead else "identical")
    commits = reader.list_commits(f"{base}..{head}", most=_MOST_COMMITS)
    shown = {
        one: show_commit(about, reader.list_commits(one, most=1)[0]) for one in {base, merge_base} if one
    }
    body = {
        "url": f"{about.url}/compare/{base}...{head}",
        "status": status,
        "ahead_by": ahead,
        "behind_by": behind,
        "total_commits": ahead,
        "base_commit": shown[base],
        "merge_base_commit": shown.get(merge_base),
        "commits": [show_commit(about, one) for one in reversed(commits)],
        "files": [show_file(one) for one in reader.list_changes(merge_base or base, head)[:_MOST_FILES]],
    }
    return RestReply(200, body)


def _branches(
    about: About, reader: RepositoryReader, _parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    found = reader.list_refs("refs/heads/")
    return _paged([{**show_named(about, ref, "refs/heads/"), "protected": False} for ref in found], query)


def _branch(
    about: About, reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    ref = _find_ref(reader, f"refs/heads/{parts[0]}", "Branch not found")
    (found,) = reader.list_commits(ref.commit, most=1)
    return RestReply(200, {"name": parts[0], "commit": show_commit(about, found), "protected": False})


def _tags(
    about: About, reader: RepositoryReader, _parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    found = reader.list_refs("refs/tags/", sort="-version:refname")
    return _paged([show_named(about, ref, "refs/tags/") for ref in found], query)


def _ref(
    about: About, reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    return RestReply(200, show_ref(about, _find_ref(reader, f"refs/{parts[0]}", "Not Found")))


def _find_ref(reader: RepositoryReader, name: str, otherwise: str) -> Ref:
    for ref in reader.list_refs("refs/heads/") + reader.list_refs("refs/tags/"):
        if ref.name == name:
            return ref
    raise NotFoundError(otherwise)


def _matching(
    about: About, reader: RepositoryReader, parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    found = reader.list_refs("refs/heads/") + reader.list_refs("refs/tags/")
    return _paged([show_ref(about, ref) for ref in found if ref.name.startswith(f"refs/{parts[0]}")], query)


def _releases(
    about: About, reader: RepositoryReader, _parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    return _paged(_list_releases(about, reader), query)


def _latest(
    about: About, reader: RepositoryReader, _parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    for release in _list_releases(about, reader):
        if not release["prerelease"]:
            return RestReply(200, release)
    raise NotFoundError("Not Found")


def _release(
    about: About, reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    for release in _list_releases(about, reader):
        if release["tag_name"] == parts[0]:
            return RestReply(200, release)
    raise NotFoundError("Not Found")


def _contents(
    about: About, reader: RepositoryReader, parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    path = parts[0].strip("/")
    commit = reader.find_commit(query.get("ref") or about.default_branch)
    entries = reader.list_folder(commit, path)
    if path and (len(entries) != 1 or entries[0][1] != "tree"):
        oid, content = reader.read_file(commit, path)
        body = {
            **show_entry(about, "blob", oid, path),
            "size": len(content),
            "encoding": "base64",
            "content": base64.encodebytes(content).decode(),
        }
        return RestReply(200, body)
    inside = reader.list_folder(commit, f"{path}/") if path else entries
    return RestReply(200, [show_entry(about, kind, oid, name) for _, kind, oid, name in inside])


def _pull(
    about: About, _reader: RepositoryReader, parts: Sequence[str], _query: Mapping[str, str]
) -> RestReply:
    if str(about.pull_request.get("number")) != parts[0]:
        raise NotFoundError("Not Found: a run knows the request that it is about, and no other")
    return RestReply(200, dict(about.pull_request))


def _pull_files(
    about: About, reader: RepositoryReader, parts: Sequence[str], query: Mapping[str, str]
) -> RestReply:
    _pull(about, reader, parts, query)
    base = _end(reader, about.pull_request, "base", about.default_branch)
    head = _end(reader, about.pull_request, "head", about.head)
    changes = reader.list_changes(reader.merge_base(base, head) or base, head)[:_MOST_FILES]
    return _paged([show_file(one) for one in changes], query)


def _end(reader: RepositoryReader, pull: Mapping[str, Any], end: str, otherwise: str) -> str:
    """The commit at one end of a request: as the event says, where that is here."""
    said = pull.get(end)
    names = [said.get("sha"), said.get("ref")] if isinstance(said, Mapping) else []
    for name in (*names, otherwise):
        try:
            return reader.find_commit(str(name or ""))
        except NotFoundError:
            continue
    raise NotFoundError(f"the request's {end} is not in this repository")


def _list_releases(about: About, reader: RepositoryReader) -> list[dict[str, Any]]:
    """Tags as releases, the newest first."""
    return [
        show_release(about, number, tag, ref)
        for number, ref in enumerate(reader.list_refs("refs/tags/", sort="-creatordate"), 1)
        if (tag := ref.name.removeprefix("refs/tags/"))
    ]


def _paged(items: Sequence[Any], query: Mapping[str, str]) -> RestReply:
    size, page = _page(query)
    return RestReply(200, list(items[size * (page - 1) : size * page]), more=len(items) > size * page)


def _page(query: Mapping[str, str]) -> tuple[int, int]:
    """How many a page, and which one, from 1."""

    def read(name: str, usual: int) -> int:
        text = query.get(name, "")
        return int(text[:9]) if text.isascii() and text.isdigit() else usual

    return max(1, min(read("per_page", 30), _MOST_A_PAGE)), max(1, read("page", 1))


_Handler = Callable[[About, RepositoryReader, Sequence[str], Mapping[str, str]], RestReply]
_ROUTES: Final[tuple[tuple[str, _Handler], ...]] = (
    ("", _repository),
    ("commits", _commits),
    ("commits/(.+)", _commit),
    (r"compare/(.+?)\.\.\.(.+)", _compare),
    ("branches", _branches),
    ("branches/(.+)", _branch),
    ("tags", _tags),
    ("git/(?:ref|refs)/(.+)", _ref),
    ("git/matching-refs/(.+)", _matching),
    ("releases", _releases),
    ("releases/latest", _latest),
    ("releases/tags/(.+)", _release),
    ("contents/?(.*)", _contents),
    ("pulls/([0-9]+)", _pull),
    ("pulls/([0-9]+)/files", _pull_files),
)
