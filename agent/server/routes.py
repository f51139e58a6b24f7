"""Routes, made from the table of all operations. Nothing is served that is not here."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import groupby
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from agent.errors import AgentError
from agent.server.api import (
    account,
    agents,
    apps,
    artifacts,
    attach,
    audit_log,
    caches,
    dataset_drafts,
    datasets,
    deliveries,
    deployments,
    document,
    environments,
    feed,
    flows,
    forms,
    histories,
    id_token_keys,
    installation,
    jobs,
    kept_records,
    lineage,
    members,
    operations,
    projects,
    registration_tokens,
    repositories,
    retention,
    runs,
    secrets,
    snapshots,
    stages,
    steering,
    step_results,
    streams,
    system,
    tags,
    trees,
    users,
    variables,
    webhooks,
)
from agent.server.api.agent_socket import connect_agent
from agent.server.api.attach_socket import connect_viewer
from agent.server.http.guard import Guard
from agent.server.http.operation import V1, Operation
from agent.server.http.run_paths import register_run_paths
from agent.server.people.auth.access import Access
from agent.server.process.problems import problem_of
from agent.server.toolkit import artifacts as toolkit
from agent.server.toolkit import blobs, cache_v1, git, id_tokens, other_runs, rest
from agent.server.toolkit import caches as cache_toolkit
from agent.server.toolkit.twirp import error_response
from agent.server.web import apps as app_pages
from agent.server.web import pages, provider, sign_in, status
from agent.server.web.pages import page_of, redirect, wants_page

OPERATIONS: tuple[Operation, ...] = (
    *streams.OPERATIONS,  # paths are compared in this order, and these are asked for a thousand times a second
    *stages.OPERATIONS,
    *system.OPERATIONS,
    *installation.OPERATIONS,
    *operations.OPERATIONS,
    *document.OPERATIONS,
    *agents.OPERATIONS,
    *runs.OPERATIONS,
    *steering.OPERATIONS,
    *environments.OPERATIONS,
    *forms.OPERATIONS,
    *jobs.OPERATIONS,
    *attach.OPERATIONS,
    *apps.OPERATIONS,
    *feed.OPERATIONS,
    *artifacts.OPERATIONS,
    *trees.OPERATIONS,
    *caches.OPERATIONS,
    *datasets.OPERATIONS,
    *dataset_drafts.OPERATIONS,
    *lineage.OPERATIONS,
    *tags.OPERATIONS,
    *retention.OPERATIONS,
    *secrets.OPERATIONS,
    *id_token_keys.OPERATIONS,
    *variables.OPERATIONS,
    *snapshots.OPERATIONS,
    *histories.OPERATIONS,
    *step_results.OPERATIONS,
    *registration_tokens.OPERATIONS,
    *account.OPERATIONS,
    *users.OPERATIONS,
    *projects.OPERATIONS,
    *members.OPERATIONS,
    *audit_log.OPERATIONS,
    *sign_in.OPERATIONS,
    *provider.OPERATIONS,
    *status.OPERATIONS,
    *app_pages.OPERATIONS,
    *pages.OPERATIONS,
    *repositories.OPERATIONS,
    *flows.OPERATIONS,
    *deliveries.OPERATIONS,
    *webhooks.OPERATIONS,
    *deployments.OPERATIONS,
    *kept_records.OPERATIONS,
    *blobs.OPERATIONS,
    *other_runs.OPERATIONS,
    *toolkit.OPERATIONS,
    *cache_toolkit.OPERATIONS,
    *cache_v1.OPERATIONS,
    *git.OPERATIONS,
    *id_tokens.OPERATIONS,
    *rest.OPERATIONS,  # the last: it answers whatever nobody else does
)


def make_routes(operations: Sequence[Operation] = OPERATIONS) -> list[BaseRoute]:
    """A route for each path, in the order of the rows, and the websockets of agents and of people who are attached."""
    register_run_paths()
    paths = list(dict.fromkeys(operation.path for operation in operations))
    rows = sorted(operations, key=lambda operation: paths.index(operation.path))
    routes: list[BaseRoute] = [
        Route(path, _dispatch(verbs), methods=list(verbs))
        for path, group in groupby(rows, key=lambda operation: operation.path)
        for verbs in [{row.verb: _guard(row) for row in group}]
    ]
    routes.append(WebSocketRoute(f"{V1}/agent", connect_agent))
    routes.append(WebSocketRoute(f"{V1}/attach", connect_viewer))
    return routes


def _guard(row: Operation) -> Guard:
    if row.is_page:
        return Guard(row, lambda _request, error: page_of(error))
    if row.path.startswith(rest.BASE):
        return Guard(row, rest.say_rest_error)
    if row.access is Access.GIT:
        return Guard(row, git.say_git_error)
    if row.path.startswith("/twirp/"):
        return Guard(row, lambda _request, error: error_response(error))
    return Guard(row, _say_error)


def _say_error(request: Request, error: AgentError) -> Response:
    """To a person with a browser as a page, to programs as problem details."""
    return page_of(error) if wants_page(request) else problem_of(error)


def _dispatch(verbs: Mapping[str, Guard]) -> Callable[[Request], Awaitable[Response]]:
    """One path's endpoint: Starlette answers other verbs itself, with all of these in `Allow`."""

    async def answer(request: Request) -> Response:
        verb = "GET" if request.method == "HEAD" else request.method
        response = await verbs[verb].answer(request)
        if response.status_code == 401 and verbs[verb].operation.is_page and verb == "GET":
            query = f"?{request.url.query}" if request.url.query else ""
            return redirect(f"/login?next={quote(request.url.path + query)}")
        return response

    return answer
