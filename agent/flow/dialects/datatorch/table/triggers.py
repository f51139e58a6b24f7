"""`triggers`: what starts a flow. Documented are `manual` and `annotatorButton`; the other names are ours."""

from typing import Final

from agent.flow.shapes import (
    ANYTHING,
    FILLED,
    NULL,
    TEXT_OR_TEXTS,
    TEXTS,
    Fields,
    Key,
    Shape,
    list_of,
    mapping,
    one_of,
    words,
)

BY_HAND: Final = "manual"
BUTTON: Final = "annotatorButton"
SCHEDULE: Final = "schedule"
OUTSIDE: Final = "repository_dispatch"  # what the server calls an event that a program sends

# By the key: the server's name of the event.
EVENTS: Final = {
    BY_HAND: BY_HAND,
    BUTTON: BUTTON,
    SCHEDULE: SCHEDULE,
    "outside": OUTSIDE,
    "datasetVersion": "dataset_version",
    "runFinished": "run_finished",
    "artifactTagged": "artifact_tagged",
    "agentLost": "agent_lost",
}
ICONS: Final = ("brain",)
CLICKS: Final = ("2-points", "4-points", "segmentation")

MANUAL: Final = Fields(
    "manual",
    Key("role", FILLED, "The role that a person needs to start it: OWNER, ADMIN, MAINTAINER or MEMBER."),
    Key(
        "form", one_of(NULL, mapping(Fields("form", entries=ANYTHING))), "A JSON schema of what is asked for."
    ),
)
ANNOTATOR_BUTTON: Final = Fields(
    "annotatorButton",
    Key("name", FILLED, "The name of the button, and of the event that starts the flow.", required=True),
    Key("icon", FILLED, "What the button shows: `brain`. Accepted, without effect here.", required=True),
    Key(
        "flow",
        FILLED,
        "What an annotator does first: `2-points`, `4-points` or `segmentation`. Accepted, without effect here.",
        required=True,
    ),
)
CRON: Final = Fields(
    "schedule entry",
    Key("cron", FILLED, "Minute, hour, day of month, month, day of week.", required=True),
    Key("timezone", FILLED, "An IANA time zone, such as `Europe/Berlin`; UTC unless said."),
)
_CRON: Final = one_of(FILLED, mapping(CRON))
_NAMES: Final = Key("names", TEXT_OR_TEXTS, "Names that count, as patterns.")


def _event(name: str, *keys: Key) -> Shape:
    return one_of(NULL, mapping(Fields(name, *keys)))


TRIGGER_FIELDS: Final = Fields(
    "triggers",
    Key(BY_HAND, one_of(NULL, mapping(MANUAL)), "People and programs can start it by hand."),
    Key(BUTTON, mapping(ANNOTATOR_BUTTON), "An outside tool sends the event of this name; what it sends is `event`."),
    Key(SCHEDULE, one_of(_CRON, list_of(_CRON)), "Times at which the flow starts. Ours."),
    Key("outside", _event("outside", Key("types", TEXTS, "Names of the events that count.")),
        "An event that a program sends. Ours."),
    Key("datasetVersion", _event("datasetVersion", _NAMES, Key("versions", TEXT_OR_TEXTS, "Versions that count.")),
        "A dataset has a new version. Ours."),
    Key("runFinished", _event(
        "runFinished",
        Key("flows", TEXT_OR_TEXTS, "Names of the flows whose runs count."),
        Key("types", one_of(words("success", "failure", "cancelled", "skipped"),
                            list_of(words("success", "failure", "cancelled", "skipped"))), "Ends that count."),
        Key("branches", TEXT_OR_TEXTS, "Branches that count, as patterns."),
    ), "A run has ended. Ours."),
    Key("artifactTagged", _event("artifactTagged", _NAMES, Key("tags", TEXT_OR_TEXTS, "Tags that count, as patterns.")),
        "An artifact has a new tag. Ours."),
    Key("agentLost", _event("agentLost", _NAMES), "An agent was silent for too long. Ours."),
)  # fmt: skip
_NAME: Final = words(BY_HAND, "outside", "datasetVersion", "runFinished", "artifactTagged", "agentLost")
TRIGGERS: Final = one_of(NULL, _NAME, list_of(_NAME), mapping(TRIGGER_FIELDS))

# Of DataTorch's projects: the role here that may do as much.
ROLES: Final = {
    "OWNER": "admin",
    "ADMIN": "admin",
    "MAINTAINER": "maintainer",
    "MANAGER": "maintainer",
    "MEMBER": "runner",
    "EDITOR": "runner",
    "RUNNER": "runner",
    "ANNOTATOR": "runner",
    "REVIEWER": "runner",
}
