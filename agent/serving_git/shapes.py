"""Shapes of GitHub's REST API: the members that `@octokit` and common actions read, made of what git knows.

Source: GitHub's REST API, version 2022-11-28.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.serving_git.reading import ChangedFile, CommitFacts, Ref

_DOCUMENTATION: Final = "docs/actions.md"


@dataclass(frozen=True, slots=True)
class About:
    """The repository that is asked about: its name (`owner/name`), and addresses."""

    folder: Path
    name: str
    server_url: str
    default_branch: str
    head: str = ""  # the run's commit
    pull_request: Mapping[str, Any] = field(default_factory=dict)  # the event's, of a run that is about one

    @property
    def url(self) -> str:
        """Its place in the API."""
        return f"{self.server_url}/api/v3/repos/{self.name}"


def describe_error(status: int, message: str) -> dict[str, str]:
    """GitHub's error."""
    return {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)}


def describe_repository(about: About) -> dict[str, Any]:
    """The repository as GitHub shows it."""
    owner, _, name = about.name.partition("/")
    return {
        "id": 0,
        "name": name,
        "full_name": about.name,
        "private": True,
        "visibility": "private",
        "owner": {"login": owner, "id": 0, "type": "Organization"},
        "html_url": f"{about.server_url}/{about.name}",
        "clone_url": f"{about.server_url}/{about.name}.git",
        "url": about.url,
        "description": None,
        "fork": False,
        "archived": False,
        "default_branch": about.default_branch,
        "permissions": {"pull": True, "push": False, "admin": False},
    }


def show_release(about: About, number: int, tag: str, ref: Ref) -> dict[str, Any]:
    """A tag as a release."""
    return {
        "id": number,
        "tag_name": tag,
        "name": tag,
        "target_commitish": ref.commit,
        "draft": False,
        "prerelease": "-" in tag,
        "created_at": ref.date,
        "published_at": ref.date,
        "body": "",
        "assets": [],
        "url": f"{about.url}/releases/tags/{tag}",
        "html_url": f"{about.server_url}/{about.name}/releases/tag/{tag}",
    }


def show_commit(about: About, commit: CommitFacts) -> dict[str, Any]:
    """A commit."""
    author, committer = (
        dict(zip(("name", "email", "date"), one, strict=True)) for one in (commit.author, commit.committer)
    )
    return {
        "sha": commit.sha,
        "url": f"{about.url}/commits/{commit.sha}",
        "html_url": f"{about.server_url}/{about.name}/commit/{commit.sha}",
        "commit": {
            "author": author,
            "committer": committer,
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": f"{about.url}/git/trees/{commit.tree}"},
        },
        "author": None,
        "committer": None,
        "parents": [point_at(about, parent) for parent in commit.parents],
    }


def show_file(change: ChangedFile) -> dict[str, Any]:
    """A file that differs."""
    return {
        "sha": change.sha,
        "filename": change.name,
        "status": change.status,
        "additions": change.additions,
        "deletions": change.deletions,
        "changes": change.additions + change.deletions,
        **({"previous_filename": change.previous} if change.previous else {}),
    }


def show_ref(about: About, ref: Ref) -> dict[str, Any]:
    """A ref."""
    kind = "tag" if ref.oid != ref.commit else "commit"
    return {"ref": ref.name, "url": f"{about.url}/git/{ref.name}", "object": {"type": kind, "sha": ref.oid}}


def show_named(about: About, ref: Ref, prefix: str) -> dict[str, Any]:
    """A branch or tag in a list."""
    return {"name": ref.name.removeprefix(prefix), "commit": point_at(about, ref.commit)}


def show_entry(about: About, kind: str, oid: str, path: str) -> dict[str, Any]:
    """A file or folder."""
    word = {"blob": "file", "tree": "dir", "commit": "submodule"}.get(kind, "file")
    return {
        "type": word,
        "name": path.rpartition("/")[2],
        "path": path,
        "sha": oid,
        "url": f"{about.url}/contents/{path}",
    }


def point_at(about: About, sha: str) -> dict[str, str]:
    """A commit by its name alone."""
    return {"sha": sha, "url": f"{about.url}/commits/{sha}"}
