"""`on`: the events that start a flow, their activity types and filters."""

from agent.flow.activity_types import ACTIVITY_TYPES
from agent.flow.dialects.github.table.contexts import FLOW, OUTPUTS
from agent.flow.shapes import (
    BOOLEAN,
    FILLED,
    NULL,
    SCALAR,
    TEXT,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    Shape,
    list_of,
    map_of,
    mapping,
    one_of,
    words,
)

_BRANCHES = ("branches", "branches-ignore")
_PATHS = ("paths", "paths-ignore")
# An event that has neither these nor activity types takes no settings.
_FILTERS: dict[str, tuple[str, ...]] = {
    "image_version": ("names", "versions"),
    "merge_group": _BRANCHES,
    "pull_request": (*_BRANCHES, *_PATHS),
    "pull_request_target": (*_BRANCHES, *_PATHS),
    "push": (*_BRANCHES, "tags", "tags-ignore", *_PATHS),
}

_FILTER_ABOUT = {
    "branches": "Patterns of branches that count; a later `!pattern` takes out again.",
    "branches-ignore": "Patterns of branches that do not count.",
    "tags": "Patterns of tags that count.",
    "tags-ignore": "Patterns of tags that do not count.",
    "paths": "Patterns of changed files, one of which must match.",
    "paths-ignore": "Patterns of files whose change alone does not count.",
    "names": "Names that count: of images, agents, artifacts, datasets.",
    "versions": "Versions that count.",
    "workflows": "Names of the flows whose runs count.",
}


def _event(name: str, types: tuple[str, ...], filters: tuple[str, ...]) -> Key:
    about = f"The event `{name}`."
    if not types and not filters:
        return Key(name, NULL, about)
    keys = [Key(key, TEXT_OR_TEXTS, _FILTER_ABOUT[key]) for key in filters]
    if types:
        activity = words(*types)
        keys.insert(0, Key("types", one_of(activity, list_of(activity)), "Activities that count."))
    return Key(name, one_of(NULL, mapping(Fields(name, *keys))), about)


CRON = Fields(
    "schedule entry",
    Key(
        "cron",
        FILLED,
        "Minute, hour, day of month, month, day of week; at most every five minutes.",
        required=True,
    ),
    Key("timezone", FILLED, "An IANA time zone, such as `Europe/Berlin`; UTC unless said."),
)
DISPATCH_INPUT = Fields(
    "dispatch input",
    Key("description", TEXT, "What the person who starts the flow is asked."),
    Key("type", words("string", "boolean", "number", "environment", "choice"), "`string` unless said."),
    Key("required", BOOLEAN, "Whether a value must be given."),
    Key("default", SCALAR, "The value when none is given."),
    Key("options", list_of(TEXT), "The values of a `choice`."),
)
CALL_INPUT = Fields(
    "call input",
    Key("description", TEXT, "What the input is for."),
    Key("type", words("string", "boolean", "number"), "The value's type.", required=True),
    Key("required", BOOLEAN, "Whether the caller must give a value."),
    Key("default", SCALAR, "The value when none is given.", scope=FLOW),
)
_CALL_SECRET = Fields(
    "call secret",
    Key("description", TEXT, "What the secret is for."),
    Key("required", BOOLEAN, "Whether the caller must give it."),
)
_CALL_OUTPUT = Fields(
    "call output",
    Key("description", TEXT, "What the output is."),
    Key("value", TEXT, "The value, from the `jobs` context.", scope=OUTPUTS, required=True),
)
WORKFLOW_CALL = Fields(
    "workflow_call",
    Key(
        "inputs",
        map_of(mapping(CALL_INPUT), name="call inputs", entry_name="input"),
        "What a caller hands in.",
    ),
    Key(
        "secrets",
        map_of(one_of(NULL, mapping(_CALL_SECRET)), name="call secrets", entry_name="secret"),
        "Secrets that a caller hands in.",
    ),
    Key(
        "outputs",
        map_of(mapping(_CALL_OUTPUT), name="call outputs", entry_name="output"),
        "What a caller gets back.",
    ),
)
WORKFLOW_DISPATCH = Fields(
    "workflow_dispatch",
    Key(
        "inputs",
        map_of(mapping(DISPATCH_INPUT), name="dispatch inputs", entry_name="input"),
        "What is asked when the flow is started by hand; at most 25.",
    ),
)
_RUN_TYPES = words("requested", "completed", "in_progress")
WORKFLOW_RUN = Fields(
    "workflow_run",
    Key("types", one_of(_RUN_TYPES, list_of(_RUN_TYPES)), "Activities that count."),
    Key("workflows", TEXT_OR_TEXTS, "Names of the flows whose runs count."),
    Key("branches", TEXT_OR_TEXTS, _FILTER_ABOUT["branches"]),
    Key("branches-ignore", TEXT_OR_TEXTS, _FILTER_ABOUT["branches-ignore"]),
)

# Events of this platform, which GitHub does not have (docs/triggers.md): activity types and filters.
_PLATFORM_EVENTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "agent_lost": ((), ("names",)),
    "artifact_tagged": ((), ("names", "tags", "tags-ignore")),
    "dataset_version": ((), ("names", "versions")),
    "run_finished": (("success", "failure", "cancelled", "skipped"), ("workflows", *_BRANCHES)),
}

EVENTS = Fields(
    "on",
    *(_event(name, types, _FILTERS.get(name, ())) for name, types in ACTIVITY_TYPES.items()),
    *(_event(name, types, filters) for name, (types, filters) in _PLATFORM_EVENTS.items()),
    Key(
        "repository_dispatch",
        one_of(
            NULL,
            mapping(Fields("repository_dispatch", Key("types", TEXTS, "Names of the events that count."))),
        ),
        "An event that a program sends.",
    ),
    Key("schedule", list_of(mapping(CRON)), "Times at which the flow starts."),
    Key("workflow_call", one_of(NULL, mapping(WORKFLOW_CALL)), "Other flows can call this one."),
    Key(
        "workflow_dispatch",
        one_of(NULL, mapping(WORKFLOW_DISPATCH)),
        "People and programs can start it by hand.",
    ),
    Key("workflow_run", one_of(NULL, mapping(WORKFLOW_RUN)), "Runs of other flows."),
)
_EVENT_NAME = words(*EVENTS.keys)
ON: Shape = one_of(_EVENT_NAME, list_of(_EVENT_NAME), mapping(EVENTS))
