"""The members of the contexts, as far as they are the same in every flow.

From GitHub's documentation ("Contexts reference"), actions/languageservices `languageservice/src/context-providers`, and
actions/runner (`GitHubContext.cs`, `JobContext.cs`, `FileCommandManager.cs`). tests/cli/test_members_of_jobs.py holds a
job of ours against this table; what GitHub has and we don't is in docs/compatibility.md.
"""

from typing import Final

from agent.flow.members import Vocabulary, names_of

GITHUB: Final = (
    "action", "action_path", "action_ref", "action_repository", "action_status", "actor", "actor_id", "api_url",
    "artifacts", "artifacts_list", "base_ref", "env", "event", "event_name", "event_path", "graphql_url", "head_ref",
    "job", "job_workflow_sha", "output", "path", "ref", "ref_name", "ref_protected", "ref_type", "repository",
    "repository_id", "repository_owner", "repository_owner_id", "repositoryUrl", "retention_days", "run_attempt",
    "run_id", "run_number", "secret_source", "server_url", "sha", "state", "step_summary", "token",
    "triggering_actor", "workflow", "workflow_ref", "workflow_sha", "workspace",
)  # fmt: skip
# GitHub's server hands these out and its documentation does not name them: who writes one has not mistyped.
GITHUB_UNDOCUMENTED: Final = (
    "artifact_cache_size_limit", "enterprise-managed-business-id", "host-workspace", "repository_visibility",
    "repo-self-hosted-runners-disabled",
)  # fmt: skip
RUNNER: Final = ("arch", "debug", "environment", "name", "os", "temp", "tool_cache", "workspace")
STRATEGY: Final = ("fail-fast", "job-index", "job-total", "max-parallel")
JOB: Final = (
    "check_run_id", "container", "services", "status", "workflow_file_path", "workflow_ref", "workflow_repository",
    "workflow_sha",
)  # fmt: skip
SERVICE: Final = ("id", "network", "ports")
STEP: Final = ("conclusion", "outcome", "outputs")
NEED: Final = ("outputs", "result")  # of a job, in `needs` and in `jobs`
# What a `workflow_dispatch` says, when nothing else can start the flow.
DISPATCH_EVENT: Final = (
    "enterprise", "inputs", "installation", "organization", "ref", "repository", "sender", "workflow",
)  # fmt: skip

# What is said in flows and in composite actions alike.
NO_JOB_MEMBER: Final = "the context `job` has no such member"
NO_STEP_MEMBER: Final = "a step has only `outputs`, `outcome` and `conclusion`"
NOT_ABOVE: Final = (
    "that step does not stand above this one",
    "a step sees only what the steps above it gave",
)

# `github.event` has what the flow's own events bring.
VOCABULARY: Final = Vocabulary(
    {
        "github": names_of((*GITHUB, *GITHUB_UNDOCUMENTED), "the context `github` has no such member"),
        "runner": names_of(RUNNER, "the context `runner` has no such member"),
        "strategy": names_of(STRATEGY, "the context `strategy` has no such member"),
    },
    deeper=[("github", "EVENT")],
    unknowable=("env", "secrets", "vars"),
)
