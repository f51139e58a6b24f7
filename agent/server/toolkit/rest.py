"""`/api/v3`: the few REST calls that actions make about their run's repository, answered from that git repository.

What is answered, and in which shape: `agent.serving_git.rest`. All else gets GitHub's own error, with a sentence of ours.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from agent.errors import AgentError
from agent.server.http.call import Call, json_response
from agent.server.http.operation import Operation
from agent.server.people.auth.access import Access
from agent.server.process.problems import status_of
from agent.server.toolkit.git import open_code
from agent.server.triggers.serving import CodeElsewhere, OpenedCode
from agent.serving_git.rest import RestReply, answer, refuse
from agent.serving_git.shapes import About, describe_error
from agent.spec.conventions import find_event

BASE: Final = "/api/v3"
_REPOSITORY: Final = f"{BASE}/repos/{{owner}}/{{name}}"


async def read_repository(call: Call) -> Response:
    """What the repository of the job's run is, and has."""
    async with open_code(call) as opened:
        if isinstance(opened, CodeElsewhere):
            return await _answer_elsewhere(call, opened)
        about = await _describe(call, opened)
        rest = str(call.request.path_params.get("rest", ""))
        query = dict(call.request.query_params)
        found = await call.rooms.process.pools.files.run(answer, about, rest, query)
    return _respond(call, found)


async def _answer_elsewhere(call: Call, code: CodeElsewhere) -> Response:
    """Of a repository that is not here its default branch is known, and no more."""
    if call.request.path_params.get("rest"):
        return await refuse_call(call)
    branch = await call.rooms.code.public.find_default_branch(code.job, code.url)
    about = About(Path(), code.name, call.base_url.rstrip("/"), branch)
    return _respond(call, answer(about, "", {}))


async def refuse_call(call: Call) -> Response:
    """Every other call of that API."""
    return _respond(call, refuse(call.request.url.path.removeprefix(f"{BASE}/")))


def say_rest_error(_request: Request, error: AgentError) -> Response:
    """An error as that API has it."""
    status = status_of(error)
    return JSONResponse(describe_error(status, str(error)), status)


async def _describe(call: Call, opened: OpenedCode) -> About:
    pull = None
    if opened.is_own:
        spec = await call.rooms.runs.runs.complete(opened.spec)
        pull = find_event(spec.contexts).get("pull_request")
    return About(
        opened.place,
        opened.name,
        call.base_url.rstrip("/"),
        opened.default_branch,
        head=opened.spec.source.run_commit if opened.is_own else "",
        pull_request=_mapping(pull),
    )


def _respond(call: Call, found: RestReply) -> Response:
    response = json_response(found.body, found.status)
    if found.more:  # as `@octokit`'s paging reads it
        url = call.request.url
        page = re.fullmatch(r"[0-9]{1,9}", call.request.query_params.get("page", "1"))
        following = url.include_query_params(page=int(page[0] if page else 1) + 1)
        place = f"{call.base_url.rstrip('/')}{following.path}?{following.query}"
        response.headers["Link"] = f'<{place}>; rel="next"'
    return response


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


OPERATIONS = (
    Operation("GET", _REPOSITORY, Access.GIT, read_repository, query=None, documented=False),
    Operation(
        "GET", f"{_REPOSITORY}/{{rest:path}}", Access.GIT, read_repository, query=None, documented=False
    ),
    *(
        Operation(verb, f"{BASE}/{{rest:path}}", Access.GIT, refuse_call, query=None, documented=False)
        for verb in ("GET", "POST", "PUT", "PATCH", "DELETE")
    ),
)
