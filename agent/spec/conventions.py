"""Conventions: the words in which a job's processes find what is around them, and through which they speak.

The job room has the mechanisms (files that a step writes into, variables made of a context, inputs as variables, shells by
name) and takes every word for them from here. A front end names the set that its flows expect, and a `JobSpec` carries that
name alone; an agent that doesn't know it refuses the job. Data: nothing here does anything, and it is quick to make at the start.

Source of GitHub's: docs.github.com, *Variables*, *Workflow commands*, *Workflow syntax* (`shell`); actions/runner
`GitHubContext.cs`, `RunnerContext.cs`, `FileCommandManager.cs`, `ContainerInfo.cs`, `ScriptHandlerHelpers.cs`.
"""

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


class CommandFile(StrEnum):
    """What a step says by writing into a file. The value is the file's name among the members of the context."""

    ENV = "env"  # variables of the steps that follow
    OUTPUT = "output"
    STATE = "state"  # for the later stages of the same action
    PATH = "path"  # entries in front of PATH
    SUMMARY = "step_summary"  # Markdown for people


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

    def context_variable(self, member: str) -> str:
        """The variable of a member of the context."""
        return f"{self.context_prefix}{member.upper()}"

    def machine_variable(self, member: str) -> str:
        """The variable of something that the machine is."""
        return f"{self.machine_prefix}{member.upper()}"

    def input_variable(self, name: str) -> str:
        """The variable in which an action finds its input: `fetch-depth` is INPUT_FETCH-DEPTH at GitHub's."""
        return f"{self.input_prefix}{name.replace(' ', '_').upper()}"


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

RELEASED = "github"  # the set that a specification means which names none
CONVENTIONS: Mapping[str, Conventions] = MappingProxyType(
    {RELEASED: GITHUB, "gradient": GRADIENT, "dstack": DSTACK}
)


def find_conventions(name: str) -> Conventions | None:
    """The set of that name; None where this version knows none."""
    return CONVENTIONS.get(name)
