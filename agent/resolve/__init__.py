"""Resolution of `uses:`: references, manifests, and the store of what was fetched. `Resolver` is the front door."""

from agent.resolve.manifests import check_manifest, inspect_manifest, read_manifest
from agent.resolve.manifests.model import (
    ActionInput,
    ActionManifest,
    ActionOutput,
    CommandRuns,
    CompositeRuns,
    DockerRuns,
    HumanRuns,
    InvalidActionError,
    NodeRuns,
    PythonRuns,
    ScriptRuns,
)
from agent.resolve.pins import Pins
from agent.resolve.policy import Policy, load_policy
from agent.resolve.reference import (
    ImageReference,
    Reference,
    RepositoryReference,
    SelfReference,
    UrlReference,
    WorkspaceReference,
    parse_reference,
)
from agent.resolve.resolver import RepositoryFile, ResolvedAction, Resolver
from agent.resolve.sources.bundled import find_bundled
from agent.resolve.sources.local import find_folder
from agent.resolve.store import ActionStore

__all__ = [
    "ActionInput",
    "ActionManifest",
    "ActionOutput",
    "ActionStore",
    "CommandRuns",
    "CompositeRuns",
    "DockerRuns",
    "HumanRuns",
    "ImageReference",
    "InvalidActionError",
    "NodeRuns",
    "Pins",
    "Policy",
    "PythonRuns",
    "Reference",
    "RepositoryFile",
    "RepositoryReference",
    "ResolvedAction",
    "Resolver",
    "ScriptRuns",
    "SelfReference",
    "UrlReference",
    "WorkspaceReference",
    "check_manifest",
    "find_bundled",
    "find_folder",
    "inspect_manifest",
    "load_policy",
    "parse_reference",
    "read_manifest",
]
