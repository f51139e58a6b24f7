"""The host that an action is told the code is at: the one for which the token is that it shows there.

| the action | its host |
| --- | --- |
| has the job's own token, or none | what `github.server_url` says: ours, where we answer for the run's code |
| is one of ours: it shows no token | the repository's own |
| is given a token of somebody's (an input `token`, `github-token`) | the repository's own, which that token is for |
| the same, for the run's own code, which we alone have | ours, and there the job's own token stands in for it |
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from agent.flow.expressions import to_text
from agent.job.steps.state import RunningJob
from agent.spec.conventions import (
    ARTIFACT_ACTIONS,
    ARTIFACT_HOST,
    ARTIFACT_HOSTS,
    ARTIFACT_LINK,
    TOKEN_INPUTS,
    find_host,
    find_repository,
)

_OWN: Final = "flow-agent/"


def describe_code_host(
    job: RunningJob, uses: str, inputs: Mapping[str, str], members: Mapping[str, object]
) -> Mapping[str, str]:
    """Variables of the action that a step `uses` which differ from the job's; `members` are those of the context as the step sees it."""
    words, uses = job.conventions, uses.lower()
    own_token = to_text(members.get("token"))
    without = {"", own_token, job.runtime_token}
    given = [name for name in inputs if name.lower() in TOKEN_INPUTS and inputs[name].strip() not in without]
    if given and _asks_for_our_own(job, inputs):
        return {words.input_variable(name): own_token for name in given}
    variables = {
        words.context_variable(name): to_text(value)
        for name, value in find_host(job.spec.contexts).items()
        if (given or uses.startswith(_OWN)) and value != members.get(name)
    }
    if uses.startswith(ARTIFACT_ACTIONS):
        host = urlsplit(to_text(members.get("server_url"))).hostname or ""
        if not ARTIFACT_HOSTS.fullmatch(host):
            variables[words.context_variable("server_url")] = ARTIFACT_HOST
    return variables


def find_links(job: RunningJob, uses: str, inputs: Mapping[str, str]) -> Callable[[str], str] | None:
    """What puts in the place of an artifact's address, as the action that a step `uses` makes it of the host that it was told, the one where it is.

    That is the server's, or the file in the folder of a local run. None for an action that makes none.
    """
    if not uses.lower().startswith(ARTIFACT_ACTIONS):
        return None
    server, folder = job.settings.server_url.rstrip("/"), job.settings.environment.get("FLOW_ARTIFACTS", "")
    name = next((value for key, value in inputs.items() if key.lower() == "name"), "")

    def place(found: re.Match[str]) -> str:
        if server:
            return f"{server}/api/v1/artifacts/{found[1]}/download"
        file = Path(folder, f"{name}.zip")
        return file.as_uri() if folder and file.is_file() else found[0]

    return lambda text: ARTIFACT_LINK.sub(place, text) if ARTIFACT_HOST in text else text


def _asks_for_our_own(job: RunningJob, inputs: Mapping[str, str]) -> bool:
    """Whether an action is about the run's own code, and that is nowhere but here."""
    asked = next((value for name, value in inputs.items() if name.lower() == "repository"), "")
    is_own = asked.strip().lower() == find_repository(job.spec.contexts).lower()
    return is_own and bool(job.settings.code_url or job.spec.source.bundles)
