"""Conventions: the words in which a job's processes find what is around them, and through which they speak.

The job room has the mechanisms (files that a step writes into, variables made of a context, inputs as variables, shells by
name) and takes every word for them from here. A front end names the set that its flows expect, and a `JobSpec` carries that
name alone; an agent that doesn't know it refuses the job. Data: nothing here does anything, and it is quick to make at the start.

Source of GitHub's: docs.github.com, *Variables*, *Workflow commands*, *Workflow syntax* (`shell`); actions/runner
`GitHubContext.cs`, `RunnerContext.cs`, `FileCommandManager.cs`, `ContainerInfo.cs`, `ScriptHandlerHelpers.cs`.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from agent.spec import openings

# What every process of a job attempt carries, whatever its language: by this the attempt's processes are found and ended,
# also by a daemon that knows no more of the job than its folder's name.
TRACKING_VARIABLE = "RUNNER_TRACKING_ID"

# The secret that is the job's own token, as servers and local runs hand it out: every job has it, nobody sets it.
JOB_TOKEN = "GITHUB_TOKEN"  # noqa: S105 - a name

# Tokens that come sealed beside a job's secrets, for the services around it (agent.spec.services). Nobody can set a secret
# whose name begins so.
RUNTIME_TOKEN = "ACTIONS_RUNTIME_TOKEN"  # noqa: S105 - a name
ID_TOKEN = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - a name


class CommandFile(StrEnum):
    """What a step says by writing into a file. The value is the file's name among the members of the context."""

    ENV = "env"  # variables of the steps that follow
    OUTPUT = "output"
    STATE = "state"  # for the later stages of the same action
    PATH = "path"  # entries in front of PATH
    SUMMARY = "step_summary"  # Markdown for people


class Speech(StrEnum):
    """How a process of an action says what it has to say, on its standard output."""

    COMMANDS = "commands"  # `::name key=value::data`: outputs, masks, annotations, groups
    VALUES = "values"  # `::name::JSON`: an output; every other line is log


class Fact(StrEnum):
    """What only the machine knows of a job or a step, as a context may have it. Paths are as the step sees them."""

    AGENT_ID = "agent id"
    AGENT_NAME = "agent name"
    AGENT_FOLDER = "agent folder"  # of all jobs' work
    FETCHED_FOLDER = "fetched folder"  # where this job's copies of actions are
    LOGS_FOLDER = "logs folder"  # where the job's journal is
    TEMP_FOLDER = "temp folder"
    JOB_ID = "job id"
    JOB_NAME = "job name"
    WORKSPACE = "workspace"
    HOST_NAME = "host name"
    SYSTEM = "system"
    SYSTEM_VERSION = "system version"
    PYTHON_VERSION = "python version"
    PYTHON_IMPLEMENTATION = "python implementation"
    # Of a step; of an action's step alone.
    STEP_ID = "step id"
    STEP_NAME = "step name"
    ACTION_NAME = "action name"
    ACTION_REF = "action ref"  # the tag, branch or commit that was asked for
    ACTION_FOLDER = "action folder"
    ACTION_DESCRIPTION = "action description"


class ContainerFolders(NamedTuple):
    """Where the job's folders lie in its containers."""

    home: str
    event: str  # the folder with the event's payload
    # In a container of an action.
    workspace: str
    temp: str
    command_files: str
    # In the container of the job.
    root: str  # the folder of all that is the job's; its workspace lies in there
    tools: str
    externals: str  # what the agent brings along, such as node
    own_workspace: str = ""  # where its workspace lies there, where that is not below `root`
    actions: str = (
        ""  # in a container of an action: the job's copies of fetched actions; empty: they are not there
    )


class Conventions(NamedTuple):
    """One set of words."""

    context_prefix: (
        str  # of variables made of the context's members: PREFIX and the member's name in capitals
    )
    exported: frozenset[str]  # the members that every process finds so
    machine_prefix: str  # of those made of what the machine is
    input_prefix: str  # of an action's inputs
    state_prefix: str  # of what the earlier stages of an action have saved
    command_files: Mapping[CommandFile, str]  # the variable that holds the file's path
    always: Mapping[str, str]  # variables that no flow overrides
    usually: Mapping[str, str]  # variables that hold where nobody says otherwise
    own_token: str  # the secret that is the job's own token, which every job has
    tools_variable: str  # one more that names the folder of tools
    shells: Mapping[str, str]  # by name, the command line; {0} is the script's file
    openings: Mapping[str, str]  # by the shell's name, what a script of it begins with, unseen in the log
    default_shells: tuple[str, ...]  # command lines; of these the first whose program is there
    container_shell: str  # the one in a container, where nobody chose one
    folders: ContainerFolders
    keeps_image_places: bool = (
        False  # a container of an action begins in its image's folder, with its image's HOME
    )
    speech: Speech = Speech.COMMANDS
    # Inputs and outputs are JSON and keep their kinds, and a path in a template that leads nowhere fails the step. Else
    # they are text, and such a path is empty.
    has_values: bool = False
    plain_inputs: bool = False  # a variable of an input has letters and digits, `_` for all others
    keeps_environment: bool = True  # what a step writes for later ones reaches them
    contexts: Mapping[str, Mapping[str, Fact]] = MappingProxyType({})  # those that the machine brings
    accumulated: str = (
        ""  # the context of all inputs and outputs of the job's steps so far; empty: there is none
    )
    given: str = ""  # the context of what the run was started with, beside `inputs`
    output_members: tuple[str, ...] = ("outputs",)  # of a step in `steps`
    knows_steps_by_name: bool = False
    actions: str = ""  # the set for actions that name none; empty: this one
    modules: str = ""  # a folder of `actions/_modules` that Python actions may import from

    def context_variable(self, member: str) -> str:
        """The variable of a member of the context."""
        return f"{self.context_prefix}{member.upper()}"

    def machine_variable(self, member: str) -> str:
        """The variable of something that the machine is."""
        return f"{self.machine_prefix}{member.upper()}"

    def input_variable(self, name: str) -> str:
        """The variable in which an action finds its input: `fetch-depth` is INPUT_FETCH-DEPTH at GitHub's."""
        plain = re.sub(r"[^A-Za-z0-9]", "_", name) if self.plain_inputs else name.replace(" ", "_")
        return f"{self.input_prefix}{plain.upper()}"


_SHELLS = {
    "bash": "bash --noprofile --norc -e -o pipefail {0}",
    "sh": "sh -e {0}",
    "python": "python {0}",
    "pwsh": "pwsh -command \". '{0}'\"",
    "powershell": "powershell -command \". '{0}'\"",
}

GITHUB = Conventions(
    context_prefix="GITHUB_",
    exported=frozenset(
        {
            *("action", "action_path", "action_ref", "action_repository", "actor", "actor_id", "api_url"),
            *("base_ref", "event_name", "event_path", "graphql_url", "head_ref", "job", "ref", "ref_name"),
            *("ref_protected", "ref_type", "repository", "repository_id", "repository_owner"),
            *("repository_owner_id", "retention_days", "run_attempt", "run_id", "run_number", "server_url"),
            *("sha", "triggering_actor", "workflow", "workflow_ref", "workflow_sha", "workspace"),
        }
    ),
    machine_prefix="RUNNER_",
    input_prefix="INPUT_",
    state_prefix="STATE_",
    command_files=MappingProxyType(
        {
            CommandFile.ENV: "GITHUB_ENV",
            CommandFile.OUTPUT: "GITHUB_OUTPUT",
            CommandFile.STATE: "GITHUB_STATE",
            CommandFile.PATH: "GITHUB_PATH",
            CommandFile.SUMMARY: "GITHUB_STEP_SUMMARY",
        }
    ),
    always=MappingProxyType({"GITHUB_ACTIONS": "true"}),
    usually=MappingProxyType({"CI": "true"}),
    own_token=JOB_TOKEN,
    tools_variable="AGENT_TOOLSDIRECTORY",
    shells=MappingProxyType(_SHELLS),
    openings=MappingProxyType({}),
    default_shells=("bash -e {0}", _SHELLS["sh"]),
    container_shell=_SHELLS["sh"],
    folders=ContainerFolders(
        home="/github/home",
        event="/github/workflow",
        workspace="/github/workspace",
        temp="/github/runner_temp",
        command_files="/github/file_commands",
        root="/__w",
        tools="/__t",
        externals="/__e",
        actions="/github/actions",
    ),
)

# dstack's: a step speaks through nothing but its exit code, and the code lies in /workflow. What is not its own is ours.
DSTACK = GITHUB._replace(
    context_prefix="FLOW_CONTEXT_",
    exported=frozenset(),
    machine_prefix="FLOW_",
    command_files=MappingProxyType({}),
    always=MappingProxyType({}),
    usually=MappingProxyType({}),
    shells=MappingProxyType({"bash": "bash --noprofile --norc {0}", "sh": "sh {0}"}),
    openings=MappingProxyType({"bash": openings.BASH, "sh": openings.OLD_NAMES}),
    default_shells=("bash --noprofile --norc {0}", "sh {0}"),
    container_shell="sh {0}",
    folders=ContainerFolders(
        home="/flow/home",
        event="/flow/event",
        workspace="/workflow",
        temp="/flow/temp",
        command_files="/flow/commands",
        root="/flow/job",
        tools="/flow/tools",
        externals="/flow/externals",
        own_workspace="/workflow",
    ),
)

# A job of Paperspace Gradient's is a container as its image has it; the job's own actions find what GitHub's do.
GRADIENT = GITHUB._replace(keeps_image_places=True, always=MappingProxyType({}), usually=MappingProxyType({}))

# DataTorch's: what its documents name, and GitHub's own where its actions are used. Source: datatorch/documentation,
# docs/agents/variables.md; the old agent's `pipelines/template.py` and `pipelines/resolver.py`.
DATATORCH = GITHUB._replace(
    speech=Speech.VALUES,
    has_values=True,
    plain_inputs=True,
    keeps_environment=False,
    contexts=MappingProxyType(
        {
            "agent": {"id": Fact.AGENT_ID, "name": Fact.AGENT_NAME, "directory": Fact.AGENT_FOLDER},
            "directory": {
                "agent": Fact.AGENT_FOLDER,
                "actions": Fact.FETCHED_FOLDER,
                "logs": Fact.LOGS_FOLDER,
                "temp": Fact.TEMP_FOLDER,
            },
            "machine": {"name": Fact.HOST_NAME, "os": Fact.SYSTEM, "version": Fact.SYSTEM_VERSION},
            "python": {"version": Fact.PYTHON_VERSION, "implementation": Fact.PYTHON_IMPLEMENTATION},
            "run": {"directory": Fact.WORKSPACE},
            "job": {"id": Fact.JOB_ID, "name": Fact.JOB_NAME, "directory": Fact.WORKSPACE},
            "step": {"id": Fact.STEP_ID, "name": Fact.STEP_NAME},
            "action": {
                "name": Fact.ACTION_NAME,
                "version": Fact.ACTION_REF,
                "tag": Fact.ACTION_REF,
                "directory": Fact.ACTION_FOLDER,
                "description": Fact.ACTION_DESCRIPTION,
            },
        }
    ),
    accumulated="variable",
    given="input",
    output_members=("output", "outputs"),
    knows_steps_by_name=True,
    actions="github",
    modules="datatorch",
)

RELEASED = "github"  # the set that a specification means which names none
CONVENTIONS: Mapping[str, Conventions] = MappingProxyType(
    {RELEASED: GITHUB, "datatorch": DATATORCH, "gradient": GRADIENT, "dstack": DSTACK}
)


def describe_server(url: str, *, has_api: bool = True) -> Mapping[str, object]:
    """The members of the context that say where the code is, when it is at `url`: as on a GitHub Enterprise server.

    Without `has_api` the API is where the repository's own host has it.
    """
    url = url.rstrip("/")
    api = {"api_url": f"{url}/api/v3", "graphql_url": f"{url}/api/graphql"} if has_api else {}
    return {"server_url": url, **api}


# Inputs in which actions are given a token for the host that the code is on.
TOKEN_INPUTS = ("token", "github-token", "repo-token")
# GitHub's artifact actions refuse to work for code that lies on any other host ("GHES"): they are told one that they take.
ARTIFACT_ACTIONS = ("actions/upload-artifact", "actions/download-artifact")
ARTIFACT_HOST = "http://flows.localhost"
ARTIFACT_LINK = re.compile(
    rf"{ARTIFACT_HOST}/[\w.-]+/[\w.-]+/actions/runs/\d+/artifacts/(\d+)"
)  # as they make it
ARTIFACT_HOSTS = re.compile(r"github\.com|.+\.ghe\.com|.+\.localhost")


def find_host(contexts: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """What a job's contexts say of the host that the run's repository is on: the members that `describe_server` has of ours."""
    members = contexts.get("github", {})
    return {name: members[name] for name in describe_server("") if members.get(name)}


def find_repository(contexts: Mapping[str, Mapping[str, object]]) -> str:
    """The run's repository, `owner/name`, as a job's contexts say; empty where they don't."""
    name = contexts.get("github", {}).get("repository")
    return name if isinstance(name, str) else ""


def find_event(contexts: Mapping[str, Mapping[str, object]]) -> Mapping[str, object]:
    """What started the run, as a job's contexts say."""
    event = contexts.get("github", {}).get("event")
    return event if isinstance(event, Mapping) else {}


def find_conventions(name: str) -> Conventions | None:
    """The set of that name; None where this version knows none."""
    return CONVENTIONS.get(name)


def find_server(contexts: Mapping[str, Mapping[str, object]]) -> str:
    """The address of the host that the run's repository is on, as a job's contexts say; empty where they don't."""
    url = contexts.get("github", {}).get("server_url")
    return url if isinstance(url, str) else ""
