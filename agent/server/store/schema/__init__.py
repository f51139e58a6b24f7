"""The tables, one file a noun; `metadata` knows them all. Migrations lead to the same (tests compare the two)."""

from agent.server.store.schema.agents import agents, tokens
from agent.server.store.schema.base import metadata
from agent.server.store.schema.data import (
    artifact_reads,
    artifacts,
    chunks,
    pack_claims,
    packs,
    run_projects,
    snapshots,
)
from agent.server.store.schema.datasets import (
    dataset_blobs,
    dataset_files,
    dataset_reads,
    dataset_usage,
    dataset_versions,
    datasets,
)
from agent.server.store.schema.fleet import installation, journal_chunks, journals, servers
from agent.server.store.schema.id_tokens import id_token_keys
from agent.server.store.schema.plans import (
    approvals,
    environments,
    group_letters,
    group_members,
    run_attempts,
)
from agent.server.store.schema.projects import projects
from agent.server.store.schema.runs import annotations, events, forms, jobs, leases, runs, steps, summaries
from agent.server.store.schema.service import idempotency_keys
from agent.server.store.schema.settings import run_secrets, secrets, variables
from agent.server.store.schema.sharing import (
    archives,
    caches,
    step_results,
    tags,
)
from agent.server.store.schema.streams import (
    bookmarks,
    deployment_paths,
    deployment_runs,
    deployments,
    queue_records,
    queues,
    record_segments,
    replicas,
    stage_figures,
    stage_totals,
)
from agent.server.store.schema.triggers import (
    deliveries,
    flow_events,
    flows,
    origins,
    repositories,
    run_branches,
    schedules,
    status_reports,
    webhooks,
)
from agent.server.store.schema.users import audit, memberships, users

__all__ = [
    "bookmarks",
    "deployment_paths",
    "deployment_runs",
    "deployments",
    "queue_records",
    "queues",
    "record_segments",
    "replicas",
    "stage_figures",
    "stage_totals",
    "run_attempts",
    "group_members",
    "group_letters",
    "id_token_keys",
    "environments",
    "approvals",
    "agents",
    "annotations",
    "archives",
    "artifact_reads",
    "artifacts",
    "audit",
    "caches",
    "chunks",
    "dataset_blobs",
    "dataset_files",
    "dataset_reads",
    "dataset_usage",
    "dataset_versions",
    "datasets",
    "deliveries",
    "events",
    "idempotency_keys",
    "flow_events",
    "flows",
    "forms",
    "installation",
    "jobs",
    "journal_chunks",
    "journals",
    "leases",
    "memberships",
    "metadata",
    "origins",
    "pack_claims",
    "packs",
    "projects",
    "repositories",
    "run_branches",
    "run_projects",
    "run_secrets",
    "runs",
    "schedules",
    "secrets",
    "servers",
    "snapshots",
    "status_reports",
    "step_results",
    "steps",
    "summaries",
    "tags",
    "tokens",
    "users",
    "variables",
    "webhooks",
]
