"""The subject (`sub`) of a job's token: what relying parties compare, so no name in it may pass for something else. Pure.

    repo:OWNER/NAME:environment:NAME        the job is in an environment
    repo:OWNER/NAME:pull_request            the run is of a request to merge
    repo:OWNER/NAME:ref:refs/heads/main     else
    project:NAME:environment|flow|user:NAME the server has not found the run on a branch of a connected repository

The first three are GitHub's (its documentation, *OpenID Connect reference*), as is that `:` in a name is `%3A`. Here `%` and
what nobody would see are escaped too, so that two names never give one subject.
"""

import re
from urllib.parse import quote

from agent.visible import HIDDEN

_PULL_REQUESTS = ("pull_request", "pull_request_target")
_ESCAPED = re.compile(f"[%:{HIDDEN}]")


def name_subject(of: str, *, environment: str, event: str, ref: str) -> str:
    """The subject of a job of a run that the server has found on `ref`; `of` is what `name_repository` gives.

    `environment` empty: it is in none. What a request to merge runs is never taken for its base's, whichever ref it works on.
    """
    if environment:
        return f"{of}:environment:{escape(environment)}"
    if event in _PULL_REQUESTS or ref.startswith("refs/pull/"):
        return f"{of}:pull_request"
    return f"{of}:ref:{escape(ref)}"


def name_unbound_subject(project: str, *, environment: str, flow: str, actor: str) -> str:
    """The subject of a job whose run is on no branch: of nobody's code but who has started it. `flow` empty: a person has."""
    of = f"project:{escape(project)}"
    if environment:
        return f"{of}:environment:{escape(environment)}"
    return f"{of}:flow:{escape(flow)}" if flow else f"{of}:user:{escape(actor)}"


def name_repository(repository: str, project: str = "") -> str:
    """How subjects begin. `project`: when another project's repository has this name already."""
    own = f"repo:{escape(repository)}"
    return f"project:{escape(project)}:{own}" if project else own


def escape(name: str) -> str:
    """A name as one part of a subject."""
    return _ESCAPED.sub(lambda found: quote(found[0], safe="", errors="surrogatepass"), name)
