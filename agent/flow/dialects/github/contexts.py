"""The contexts that GitHub's language brings into a run: `github`, from its source and its event, and `job` of a called flow.

Members and their types: github-facts.md, section 3, and GitHub's documentation; numbers are text there too. The machine
adds what only it knows.
"""

import re
from collections.abc import Mapping
from typing import Final

from agent.flow.dialect import Contexts, RunFacts
from agent.flow.dialects.github.numbers import list_numbers, number_of
from agent.flow.expressions import to_text
from agent.flow.references import split_reference
from agent.flow.repository import split_repository

BY_HAND: Final = "workflow_dispatch"
DEBUG_VARIABLES: Final = {"ACTIONS_STEP_DEBUG": "true", "ACTIONS_RUNNER_DEBUG": "true"}
_GITHUB: Final = "https://github.com"
_WITHOUT_REF: Final = (
    "deployment",
    "deployment_status",
)  # they may be of a commit that nobody names otherwise


def start_contexts(run: RunFacts) -> Contexts:
    """The `github` context of a run, less `job`, `token`, and the folders of the machine."""
    event = dict(run.payload)
    if run.event == BY_HAND:  # typed in `inputs`, always text in `github.event.inputs`
        event["inputs"] = {name: to_text(value) for name, value in run.inputs.items()}
        file = run.flow_file.removeprefix("./")
        event = {"ref": run.ref, "workflow": file, **event}
    return {"github": _make_github(run, event)}


def next_contexts(contexts: Contexts, attempt: int, actor: str) -> Contexts:
    """The contexts of the run's next attempt; `actor` empty: nobody new asked for it."""
    github = {**contexts["github"], "run_attempt": str(attempt)}
    if actor:
        github["triggering_actor"] = actor
    return {**contexts, "github": github}


def job_contexts(contexts: Contexts, job: str) -> Contexts:
    """The contexts as the job of that id has them."""
    return {**contexts, "github": {**contexts.get("github", {}), "job": job}}


def called_contexts(contexts: Contexts, file: str) -> Contexts:
    """The contexts as a job of the called flow in `file` has them."""
    github = contexts["github"]
    workflow = _describe_workflow(github, file)
    return {
        **contexts,
        "github": {**github, "job_workflow_sha": workflow["workflow_sha"]},
        "job": workflow,
    }


def _make_github(run: RunFacts, event: Mapping[str, object]) -> dict[str, object]:
    server, repository = split_repository(run.url)
    server = server or _GITHUB  # a local path or nothing counts as GitHub's
    repository = repository or "local/" + (re.sub(r"[^\w.-]+", "-", run.flow_name).strip("-.") or "flow")
    ref = run.ref or ("" if run.event in _WITHOUT_REF else "refs/heads/main")
    pull = event.get("pull_request")
    return {
        "event_name": run.event,
        "event": {
            "repository": _describe_repository(server, repository, run.default_branch),
            **_describe_sender(run.actor),
            **event,
        },
        "repository": repository,
        "repository_owner": repository.split("/")[0],
        "repositoryUrl": f"git://{server.partition('://')[2]}/{repository}.git",
        "ref": ref,
        "ref_name": re.sub(r"^refs/(heads|tags|pull|merge-requests)/", "", ref),
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "ref_protected": False,
        "sha": run.commit,
        "head_ref": _branch(pull, "head"),
        "base_ref": _branch(pull, "base"),
        "actor": run.actor,
        "triggering_actor": run.actor,
        "workflow": run.flow_name,
        "workflow_ref": f"{repository}/{run.flow_file.removeprefix('./')}@{ref}",
        "workflow_sha": run.commit,
        "run_id": str(run.run),
        "run_number": str(run.number),
        "run_attempt": str(run.attempt),
        "retention_days": "90",
        **list_numbers(event, repository, run.actor),
        "secret_source": "Actions",
        "server_url": server,
        "api_url": "https://api.github.com" if server == _GITHUB else f"{server}/api/v3",
        "graphql_url": "https://api.github.com/graphql" if server == _GITHUB else f"{server}/api/graphql",
    }


def _describe_repository(server: str, repository: str, default_branch: str) -> dict[str, object]:
    """What every payload of GitHub's has, for events that somebody made by hand: actions ask it whether this is a fork."""
    owner, _, name = repository.partition("/")
    return {
        "name": name,
        "full_name": repository,
        "owner": {"login": owner, "name": owner},
        "html_url": f"{server}/{repository}",
        "fork": False,
        **({"default_branch": default_branch} if default_branch else {}),
    }


def _describe_sender(actor: str) -> dict[str, object]:
    """Who did it, as every payload of GitHub's says; nothing where nobody is known."""
    if not actor:
        return {}
    return {"sender": {"login": actor, "id": int(number_of("account", actor)), "type": "User"}}


def _branch(pull: object, end: str) -> str:
    """`pull_request.head.ref` or `.base.ref` of the event, or nothing."""
    side = pull.get(end) if isinstance(pull, Mapping) else None
    ref = side.get("ref") if isinstance(side, Mapping) else None
    return ref if isinstance(ref, str) else ""


def _describe_workflow(github: Mapping[str, object], file: str) -> dict[str, object]:
    """The members of the `job` context that name a called flow; the commit is known for the run's repository only."""
    repository, path, _ref = split_reference(file)
    if repository:
        return _workflow(repository, path, file, "")
    repository = to_text(github.get("repository"))
    reference = f"{repository}/{path}@{to_text(github.get('ref'))}"
    return _workflow(repository, path, reference, to_text(github.get("sha")))


def _workflow(repository: str, path: str, reference: str, sha: str) -> dict[str, object]:
    return {
        "workflow_ref": reference,
        "workflow_sha": sha,
        "workflow_repository": repository,
        "workflow_file_path": path,
    }
