"""The flow file as a whole, exactly as the documents' own JSON schema has it; and one text may stand for a list of one `out`."""

from typing import Final

from agent.flow.shapes import ANYTHING, FILLED, TEXT_OR_TEXTS, Fields, Key, list_of, mapping

STAGE: Final = Fields(
    "stage",
    Key("name", FILLED, "The stage's name, unique in its flow.", required=True),
    Key("action", FILLED, "What it does: one of the actions below.", required=True),
    Key("config", mapping(Fields("config", entries=ANYTHING, may_be_blank=True)), "How: each action has its own keys."),
    Key("out", TEXT_OR_TEXTS, "The stages that get what this one gives, each all of it; without it, this is an end."),
)  # fmt: skip
FLOW: Final = Fields(
    "flow",
    Key("name", FILLED, "The flow's name, unique in its project.", required=True),
    Key("stages", list_of(mapping(STAGE)), "The stages, in any order.", required=True),
)
FLOW_SHAPE: Final = mapping(FLOW)
