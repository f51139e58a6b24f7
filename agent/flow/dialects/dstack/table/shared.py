"""Keys that the workflows of several providers have."""

from typing import Final

from agent.flow.context_scope import ContextScope
from agent.flow.shapes import (
    ANYTHING,
    BOOLEAN,
    FILLED,
    NULL,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    list_of,
    map_of,
    mapping,
    one_of,
    words,
)

# What `${{ }}` becomes when a workflow has been read: variables and arguments are inputs of the run.
ANYWHERE: Final = ContextScope(("inputs", "run", "secrets", "env"))

VERSION: Final = one_of(FILLED, NUMBER)
_COUNT: Final = one_of(NUMBER, FILLED)
_FLAG: Final = one_of(BOOLEAN, words("yes", "no", "on", "off", "true", "false"))

_GPU: Final = Fields(
    "gpu",
    Key("count", _COUNT, "How many."),
    Key("name", FILLED, "The model, such as V100."),
    Key("memory", FILLED, "What each has at least, such as 16GB."),
)
RESOURCES: Final = Fields(
    "resources",
    Key("cpu", _COUNT, "CPU cores, at least."),
    Key("memory", FILLED, "Memory, at least: 16GB, 512MB, 8GiB."),
    Key("gpu", one_of(_COUNT, mapping(_GPU)), "GPUs, at least: a number, or count, name and memory."),
    Key("shm_size", FILLED, "Shared memory of the workflow's container."),
    Key("interruptible", _FLAG, "Accepted: a machine of one's own is not taken away."),
    Key(
        "remote",
        _FLAG,
        "Accepted: `agent flow submit` runs it on the server's agents, `agent flow run` here.",
    ),
    Key("local", _FLAG, "Accepted: `agent flow run` runs it on this machine."),
)

_ARTIFACT: Final = Fields(
    "artifact",
    Key("path", FILLED, "The folder, relative to the workflow's code or absolute.", required=True),
    Key("mount", _FLAG, "Kept while the workflow runs, too."),
)
_CACHED: Final = Fields("cached path", Key("path", FILLED, "The folder.", required=True))
_DEPENDENCY: Final = Fields(
    "dependency",
    Key("workflow", FILLED, "The last run of it that succeeded: NAME, or OWNER/REPO/NAME."),
    Key("tag", FILLED, "What has that tag: NAME, or OWNER/REPO/NAME."),
    Key("mount", _FLAG, "Accepted: what is brought is a copy or a link, whichever is quicker."),
)

_ELSEWHERE: Final = Fields(
    "provider of a repository",
    Key("repo", FILLED, "The repository that has it."),
    Key("name", FILLED, "Its name there.", required=True),
)
PROVIDER: Final = one_of(FILLED, mapping(_ELSEWHERE))

HEAD: Final = (
    Key("name", FILLED, "What it is started by; no other workflow has it.", required=True),
    Key("provider", PROVIDER, "What runs it: a built-in provider, or one of providers.yaml.", required=True),
    Key("help", FILLED, "What it is for."),
    Key("depends-on", TEXTS, "Workflows that run before, in the same run, and leave their artifacts here; NAME:TAG is what has that tag."),
    Key("deps", list_of(one_of(FILLED, mapping(_DEPENDENCY))), "Artifacts that are there before the start: of the last successful run of a workflow, or of a tag (`:TAG`)."),
)  # fmt: skip
ARTIFACTS: Final = Key(
    "artifacts", list_of(one_of(FILLED, mapping(_ARTIFACT))), "Folders that are kept when the workflow has succeeded."
)  # fmt: skip
_ENVIRONMENT: Final = one_of(TEXTS, map_of(ANYTHING, name="environment", entry_name="VARIABLE"), NULL)
COMMON: Final = (
    ARTIFACTS,
    Key("env", _ENVIRONMENT, "Environment variables: `K=V`, a bare `K` for the caller's own, or a mapping."),
    Key("environment", _ENVIRONMENT, "The same, as it was called in 2022."),
    Key("working_dir", FILLED, "Where the commands run."),
    Key("resources", one_of(NULL, mapping(RESOURCES)), "What it needs of its machine."),
    Key("cache", list_of(one_of(FILLED, mapping(_CACHED))), "Folders that the next run of the workflow finds as this one left them."),
)  # fmt: skip
SETUP: Final = (
    Key("before_run", TEXT_OR_TEXTS, "Commands before all others."),
    Key("setup", TEXT_OR_TEXTS, "The same, as it was called in 2023."),
)
PYTHON: Final = (
    Key("python", VERSION, "The version of Python, such as 3.10."),
    Key("requirements", FILLED, "A file of packages that are installed first."),
)
PORTS: Final = Key(
    "ports",
    one_of(_COUNT, list_of(_COUNT)),
    "How many ports it opens (they are PORT_0, PORT_1, ...), or which ones (APP or APP:LOCAL).",
)
SSH: Final = Key("ssh", _FLAG, "Accepted: `agent run attach RUN` opens a shell in any job that runs.")
ARGS: Final = Key(
    "args", one_of(TEXT, list_of(TEXT)), "Its arguments: text as the shell reads it, or a list."
)
