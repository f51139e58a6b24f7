"""Claims of a job's token, from the rows: as GitHub's says it, and nothing that only the caller of the API has said.

A run that the server has found on a branch of a connected repository (`run_branches`) is described in full. Of any other,
source, ref, commit and event's payload are what somebody wrote: its token names the project, and who has started it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agent.errors import RefusedError
from agent.flow.expressions import to_text
from agent.flow.repository import split_repository
from agent.server.people.auth.runtime import JobIdentity
from agent.server.people.id_tokens.subject import name_repository, name_subject, name_unbound_subject
from agent.server.store import deliveries, jobs, projects, repositories, run_branches, runs
from agent.server.store.database import Connection
from agent.server.store.repositories import RepositoryRow
from agent.server.store.run_branches import RunBranch
from agent.server.store.runs import RunRow
from agent.spec.job import JobSpec
from agent.spec.services import asks_for_id_tokens, describe_flow


@dataclass(frozen=True, slots=True)
class JobClaims:
    """`default_audience` is for who asks for none."""

    claims: Mapping[str, str]
    default_audience: str


async def may_prove_itself(connection: Connection, spec: JobSpec) -> bool:
    """Whether the job has `permissions: id-token: write`, and its run is no stranger's: as GitHub has it for forks."""
    if not asks_for_id_tokens(spec.permissions):
        return False
    origin = await deliveries.find_origin(connection, spec.run)
    return origin is None or origin.is_trusted


async def describe_job(connection: Connection, identity: JobIdentity, issuer: str) -> JobClaims:
    """What there is to say of the job. Raises RefusedError for one that may not prove itself, or whose repository is gone."""
    spec = await jobs.load_spec(connection, identity.job)
    run = await runs.find_run(connection, identity.run)
    assert run is not None
    if not await may_prove_itself(connection, spec):
        raise RefusedError(
            "the job may not have such a token", hint="it asks for `permissions: id-token: write`"
        )
    project = (await projects.names(connection))[run.project]
    claims = {**_describe_run(spec, run), "project": project, "project_id": str(run.project)}
    branch = await run_branches.find_branch(connection, run.id)
    if branch is None:
        origin = await deliveries.find_origin(connection, run.id)
        flow = "" if origin is None else origin.flow
        subject = name_unbound_subject(project, environment=spec.environment, flow=flow, actor=run.actor)
        return JobClaims({**claims, "sub": subject}, f"{issuer}/{project}")
    known = await repositories.list_repositories(connection)
    row = next((row for row in known if row.id == branch.repository), None)
    if row is None:
        raise RefusedError(
            "the repository of this run is not connected any more: nothing can be said of its branch"
        )
    server, repository = split_repository(row.url)
    of = name_repository(repository or row.name, "" if _has_its_name(row, known) else project)
    subject = name_subject(of, environment=spec.environment, event=run.event, ref=branch.ref)
    claims |= {**_describe_code(spec, run, row, branch, repository or row.name), "sub": subject}
    return JobClaims(claims, f"{server or issuer}/{claims['repository_owner']}")


def _describe_run(spec: JobSpec, run: RunRow) -> dict[str, str]:
    claims = {
        "run_id": str(run.id),
        "run_number": str(run.number),
        "run_attempt": str(run.attempt),
        "event_name": run.event,
        "actor": run.actor,
        "workflow": describe_flow(spec.contexts)["workflow"] or run.title,
        "job_id": spec.job,
        "runner_environment": "self-hosted",
    }
    return {**claims, "environment": spec.environment} if spec.environment else claims


def _describe_code(
    spec: JobSpec, run: RunRow, row: RepositoryRow, branch: RunBranch, repository: str
) -> dict[str, str]:
    flow = f"{repository}/{run.file.removeprefix('./')}@{branch.ref}"
    called = spec.context("job")  # the planner's, of a job in a called flow
    return {
        "repository": repository,
        "repository_id": row.id,
        "repository_owner": repository.partition("/")[0],
        "repository_visibility": "private",
        "ref": branch.ref,
        "ref_type": "tag" if branch.ref.startswith("refs/tags/") else "branch",
        "ref_protected": "false",
        "sha": branch.commit,
        "base_ref": branch.base.removeprefix("refs/heads/"),
        "head_ref": describe_flow(spec.contexts)["head_ref"],
        "workflow_ref": flow,
        "workflow_sha": branch.commit,
        "job_workflow_ref": to_text(called.get("workflow_ref")) or flow,
        "job_workflow_sha": to_text(called.get("workflow_sha")) if called else branch.commit,
    }


def _has_its_name(row: RepositoryRow, known: list[RepositoryRow]) -> bool:
    """Whether the repository is the first one with its `owner/name`: a later one, of another host or project, can't pass for it."""
    name = _name_of(row)
    first = min((one for one in known if _name_of(one) == name), key=lambda one: (one.created_at, one.id))
    return first.id == row.id


def _name_of(row: RepositoryRow) -> str:
    return (split_repository(row.url)[1] or row.name).casefold()
