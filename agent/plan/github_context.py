"""The `github` context of a run, from its source and its event; the machine adds what only it knows.

Members and their types: github-facts.md, section 3, and GitHub's documentation; numbers are text there too.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from agent.ids import RunId
from agent.spec.job import Source

_GITHUB = "https://github.com"
_SSH = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?!//)(?P<path>.+)")


def make_github_context(
    *,
    run: RunId,
    number: int,
    attempt: int,
    flow_name: str,
    flow_file: str,
    event_name: str,
    event: Mapping[str, object],
    source: Source,
    actor: str,
) -> dict[str, object]:
    """The `github` context of a run, less `job`, `token`, and the folders of the machine."""
    server, repository = split_repository(source.url)
    repository = repository or "local/" + (re.sub(r"[^\w.-]+", "-", flow_name).strip("-") or "flow")
    ref = source.ref or "refs/heads/main"
    pull = event.get("pull_request")
    return {
        "event_name": event_name,
        "event": {"repository": _describe_repository(server, repository), **event},
        "repository": repository,
        "repository_owner": repository.split("/")[0],
        "repositoryUrl": f"git://{urlsplit(server).netloc}/{repository}.git",
        "ref": ref,
        "ref_name": re.sub(r"^refs/(heads|tags|pull)/", "", ref),
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "ref_protected": False,
        "sha": source.commit,
        "head_ref": _branch(pull, "head"),
        "base_ref": _branch(pull, "base"),
        "actor": actor,
        "triggering_actor": actor,
        "workflow": flow_name,
        "workflow_ref": f"{repository}/{flow_file.removeprefix('./')}@{ref}",
        "workflow_sha": source.commit,
        "run_id": str(run),
        "run_number": str(number),
        "run_attempt": str(attempt),
        "retention_days": "90",
        "secret_source": "Actions",
        "server_url": server,
        "api_url": "https://api.github.com" if server == _GITHUB else f"{server}/api/v3",
        "graphql_url": "https://api.github.com/graphql" if server == _GITHUB else f"{server}/api/graphql",
    }


def _describe_repository(server: str, repository: str) -> dict[str, object]:
    """What every payload of GitHub's has, for events that somebody made by hand: actions ask it whether this is a fork."""
    owner, _, name = repository.partition("/")
    return {
        "name": name,
        "full_name": repository,
        "owner": {"login": owner, "name": owner},
        "html_url": f"{server}/{repository}",
        "fork": False,
    }


def split_repository(url: str) -> tuple[str, str]:
    """(the git server's URL, `owner/repo`) of a repository's URL; a local path or nothing counts as GitHub's."""
    parts = urlsplit(url)
    match = _SSH.fullmatch(url)
    if parts.scheme in ("http", "https"):
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    elif parts.scheme == "ssh" or match:
        server = f"https://{match['host'] if match else parts.hostname}"
    else:
        server = _GITHUB
    path = match["path"] if match and parts.scheme != "ssh" else parts.path
    names = [name for name in path.removesuffix("/").removesuffix(".git").split("/") if name]
    return server, "/".join(names[-2:]) if len(names) > 1 else ""


def _branch(pull: object, end: str) -> str:
    """`pull_request.head.ref` or `.base.ref` of the event, or nothing."""
    side = pull.get(end) if isinstance(pull, Mapping) else None
    ref = side.get("ref") if isinstance(side, Mapping) else None
    return ref if isinstance(ref, str) else ""
