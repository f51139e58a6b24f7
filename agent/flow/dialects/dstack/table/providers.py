"""The keys of each provider that is built in."""

from typing import Final

from agent.flow.dialects.dstack.table.shared import (
    ARGS,
    ARTIFACTS,
    COMMON,
    HEAD,
    PORTS,
    PYTHON,
    SETUP,
    SSH,
    VERSION,
)
from agent.flow.shapes import (
    ANYTHING,
    FILLED,
    NUMBER,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    mapping,
    one_of,
)

_FILES: Final = (
    Key("file", FILLED, "The program."),
    Key("script", FILLED, "The same, as it was called before."),
    Key("python_script", FILLED, "The same, as it was called before that."),
)
_RELEASE: Final = Key("version", VERSION, "Of what the provider installs; the newest unless said.")
_DEV: Final = (*HEAD, *COMMON, *SETUP, *PYTHON, _RELEASE, SSH, PORTS)
_REGISTRY_AUTH: Final = mapping(
    Fields(
        "registry_auth",
        Key("username", TEXT, "Who may pull the image."),
        Key("password", TEXT, "A password or a token: `${{ secrets.NAME }}`."),
    )
)

PROVIDERS: Final[dict[str, Fields]] = {
    fields.name: fields
    for fields in (
        Fields(
            "bash",
            *(*HEAD, *COMMON, *SETUP, *PYTHON, PORTS, SSH),
            Key("commands", TEXT_OR_TEXTS, "What it does: one after the other, in one bash.", required=True),
        ),
        Fields(
            "docker",
            *(*HEAD, *COMMON, *SETUP, PORTS, SSH),
            Key("image", FILLED, "The image.", required=True),
            Key("commands", TEXT_OR_TEXTS, "What is done in a container of it; else what the image does."),
            Key("entrypoint", TEXT, "The program that is given the commands; `/bin/sh -i -c` unless said."),
            Key("home_dir", FILLED, "The home folder in the container: HOME, and `~` of paths."),
            Key("registry_auth", _REGISTRY_AUTH, "How to log in to the image's registry."),
        ),
        Fields(
            "python",
            *(*HEAD, *COMMON, *SETUP, *PYTHON, *_FILES, ARGS, PORTS),
            Key("version", VERSION, "The version of Python."),
        ),
        Fields(
            "torchrun",
            *(*HEAD, *COMMON, *SETUP, *PYTHON, *_FILES, ARGS),
            Key("version", VERSION, "The version of Python."),
            Key("nodes", one_of(NUMBER, FILLED), "On how many machines; 1 unless said."),
        ),
        Fields("code", *_DEV),
        Fields("lab", *_DEV),
        Fields("notebook", *_DEV),
        Fields("ssh", *_DEV),
        Fields("gradio", *_DEV, *_FILES, ARGS),
        Fields(
            "streamlit", *_DEV, ARGS, Key("target", FILLED, "The program, or its address.", required=True)
        ),
        Fields(
            "fastapi",
            *(*_DEV, *_FILES, ARGS),
            Key("app", FILLED, "Where the application is: `module:name`."),
            Key("uvicorn", VERSION, "The version of uvicorn."),
        ),
        Fields(
            "tensorboard",
            *_DEV,
            Key("runs", TEXTS, "The runs whose artifacts it shows: names or numbers.", required=True),
            Key("logdir", FILLED, "Where in their artifacts the events are; everywhere unless said."),
        ),
        Fields(
            "curl",
            *HEAD,
            ARTIFACTS,
            Key("url", FILLED, "What to fetch.", required=True),
            Key("output", FILLED, "The file that it becomes.", required=True),
        ),
    )
}
# A provider of `providers.yaml` is given whatever its workflow says.
CUSTOM: Final = Fields(
    "custom provider", *HEAD, *COMMON, *SETUP, PORTS, entries=ANYTHING, entry_name="PARAMETER"
)
# Of a workflow whose provider can't be told: what nearly all of them have is judged.
UNTOLD: Final = Fields(
    "workflow",
    *(key for key in CUSTOM.keys.values() if key.name != "provider"),
    Key("commands", TEXT_OR_TEXTS, "What it does."),
    entries=ANYTHING,
    entry_name="KEY",
)
# What any provider knows: a key much like one of them is hardly another's.
KNOWN_KEYS: Final = tuple(
    dict.fromkeys(key for fields in (CUSTOM, *PROVIDERS.values()) for key in fields.keys)
)
