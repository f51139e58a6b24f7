"""Places of `owner/repo` (`actions_urls`), and which name a URL has at one of them."""

import re
from collections.abc import Sequence

from agent.errors import NotFoundError
from agent.resolve.reference import RepositoryReference, UrlReference
from agent.resolve.sources.bundled import refuse_reserved


def list_places(templates: Sequence[str], reference: RepositoryReference) -> tuple[str, ...]:
    """The URLs at which the repository may be, in the order in which they are tried.

    Raises NotFoundError where no place is configured, RefusedError for a name that is reserved.
    """
    refuse_reserved(reference)
    if not templates:
        raise NotFoundError(
            "no place is configured where actions are", where=str(reference), hint="set AGENT_ACTIONS_URL"
        )
    names = {"{owner}": reference.owner, "{repo}": reference.repository}
    return tuple(_fill(template, names) for template in templates)


def name_place(
    templates: Sequence[str], url: str, reference: RepositoryReference | UrlReference
) -> RepositoryReference | UrlReference:
    """What a flow would write for the path and ref of `reference` at `url`: `owner/repo` where a configured place is meant.

    Raises RefusedError for a name that is reserved.
    """
    for template in templates:
        match = _compile(template).fullmatch(url.removesuffix(".git"))
        if match is not None:
            named = RepositoryReference(match["owner"], match["repo"], reference.path, reference.ref)
            refuse_reserved(named)
            return named
    return UrlReference(url, reference.path, reference.ref)


def _fill(template: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        template = template.replace(name, value)
    return template


def _compile(template: str) -> re.Pattern[str]:
    parts = [re.escape(part) for part in template.removesuffix(".git").partition("{owner}")[::2]]
    if len(parts) < 2 or re.escape("{repo}") not in parts[1]:  # one repository for all: it names none
        return re.compile("(?P<owner>)(?P<repo>)(?!)")
    tail = parts[1].replace(re.escape("{repo}"), "(?P<repo>[^/]+)", 1)
    return re.compile(f"{parts[0]}(?P<owner>[^/]+){tail}", re.IGNORECASE)
