"""The route table: every path, its verb, who may call it, and what answers. Nothing is served that is not here."""

from starlette.routing import BaseRoute, Route, WebSocketRoute

from agent.server.api import (
    agents,
    artifacts,
    jobs,
    registration_tokens,
    runs,
    secrets,
    snapshots,
    system,
    variables,
)
from agent.server.api.agent_socket import connect_agent
from agent.server.auth.access import Access
from agent.server.call import Guard, Handler
from agent.server.toolkit import artifacts as toolkit
from agent.server.toolkit import blobs
from agent.server.toolkit.twirp import error_response

_V1 = "/api/v1"

_TABLE: tuple[tuple[str, str, Access, Handler], ...] = (
    ("/", "GET", Access.PUBLIC, system.show_product),
    ("/healthz", "GET", Access.PUBLIC, system.check_health),
    ("/readyz", "GET", Access.PUBLIC, system.check_readiness),
    ("/install.sh", "GET", Access.PUBLIC, system.show_installer),
    (f"{_V1}/agents/register", "POST", Access.REGISTRATION, agents.register_agent),
    (f"{_V1}/agents", "GET", Access.MEMBER, agents.list_agents),
    (f"{_V1}/agents/{{agent}}", "GET", Access.MEMBER, agents.show_agent),
    (f"{_V1}/agents/{{agent}}", "DELETE", Access.ORGANISATION, agents.remove_agent),
    (f"{_V1}/runs", "POST", Access.RUNNER, runs.submit_run),
    (f"{_V1}/runs", "GET", Access.VIEWER, runs.list_runs),
    (f"{_V1}/runs/{{run:int}}", "GET", Access.VIEWER, runs.show_run),
    (f"{_V1}/runs/{{run:int}}/cancel", "POST", Access.RUNNER, runs.cancel_run),
    (f"{_V1}/runs/{{run:int}}/events", "GET", Access.VIEWER, runs.follow_run),
    (f"{_V1}/runs/{{run:int}}/artifacts", "GET", Access.VIEWER, artifacts.list_artifacts),
    (f"{_V1}/artifacts/{{artifact:int}}/download", "GET", Access.VIEWER, artifacts.download_artifact),
    (f"{_V1}/jobs/{{job}}", "GET", Access.VIEWER, jobs.show_job),
    (f"{_V1}/jobs/{{job}}/log", "GET", Access.VIEWER, jobs.show_log),
    (f"{_V1}/jobs/{{job}}/events", "GET", Access.VIEWER, jobs.follow_job),
    (f"{_V1}/secrets", "GET", Access.MAINTAINER, secrets.list_secrets),
    (f"{_V1}/secrets/{{name}}", "PUT", Access.MAINTAINER, secrets.put_secret),
    (f"{_V1}/secrets/{{name}}", "DELETE", Access.MAINTAINER, secrets.delete_secret),
    (f"{_V1}/variables", "GET", Access.VIEWER, variables.list_variables),
    (f"{_V1}/variables/{{name}}", "PUT", Access.MAINTAINER, variables.put_variable),
    (f"{_V1}/variables/{{name}}", "DELETE", Access.MAINTAINER, variables.delete_variable),
    (f"{_V1}/snapshots/{{digest}}", "PUT", Access.RUNNER, snapshots.put_snapshot),
    (f"{_V1}/snapshots/{{digest}}", "GET", Access.RUNNER_OR_JOB, snapshots.get_snapshot),
    (f"{_V1}/registration-tokens", "POST", Access.ORGANISATION, registration_tokens.create),
    (f"{_V1}/registration-tokens", "GET", Access.ORGANISATION, registration_tokens.list_all),
    (f"{_V1}/registration-tokens/{{token}}", "DELETE", Access.ORGANISATION, registration_tokens.revoke),
    (blobs.PATH, "PUT", Access.SIGNED, blobs.put_bytes),
    (blobs.PATH, "GET", Access.SIGNED, blobs.get_bytes),
)

_ARTIFACT_CALLS: dict[str, Handler] = {
    "CreateArtifact": toolkit.create_artifact,
    "FinalizeArtifact": toolkit.finalize_artifact,
    "ListArtifacts": toolkit.list_artifacts,
    "GetSignedArtifactURL": toolkit.sign_artifact,
    "DeleteArtifact": toolkit.delete_artifact,
}


def make_routes() -> list[BaseRoute]:
    """All routes of the server."""
    table: list[BaseRoute] = [
        Route(path, Guard(access, handler).answer, methods=[verb]) for path, verb, access, handler in _TABLE
    ]
    table += [
        Route(
            f"{toolkit.SERVICE}/{name}", Guard(Access.JOB, handler, error_response).answer, methods=["POST"]
        )
        for name, handler in _ARTIFACT_CALLS.items()
    ]
    table.append(WebSocketRoute(f"{_V1}/agent", connect_agent))
    return table
