"""The files of the language: workflows, and what lies beside them."""

from typing import Final

from agent.flow.dialects.dstack.table.providers import CUSTOM, PROVIDERS
from agent.flow.shapes import (
    ANYTHING,
    FILLED,
    NULL,
    SCALAR,
    TEXT_OR_TEXTS,
    Fields,
    Key,
    list_of,
    map_of,
    mapping,
    one_of,
)

# A workflow is read by its provider's table; here only whether it is one at all.
FILE: Final = mapping(Fields("file", Key("workflows", list_of(ANYTHING), "The workflows.", required=True)))

_PROVIDER: Final = Fields(
    "provider",
    Key("name", FILLED, "What workflows call it; it stands before a built-in one of that name.", required=True),
    Key("image", FILLED, "The image that its commands run in.", required=True),
    Key("commands", TEXT_OR_TEXTS, "What it does.", required=True),
    Key("help", FILLED, "What it is for."),
)  # fmt: skip
PROVIDERS_FIELDS: Final = Fields(
    "providers file", Key("providers", list_of(mapping(_PROVIDER)), "The providers.", required=True)
)
PROVIDERS_FILE: Final = mapping(PROVIDERS_FIELDS)
_VALUES: Final = map_of(one_of(SCALAR, NULL), name="variables", entry_name="VARIABLE")
VARIABLES_FIELDS: Final = Fields(
    "variables file",
    Key(
        "variables",
        one_of(NULL, map_of(one_of(NULL, _VALUES), name="workflows", entry_name="WORKFLOW")),
        "By workflow, its variables and their values; those of `global` are every workflow's.",
        required=True,
    ),
)
VARIABLES_FILE: Final = mapping(VARIABLES_FIELDS)

# The whole language, for editors and for the page.
LANGUAGE_FIELDS: Final = Fields(
    "workflows file",
    Key(
        "workflows", list_of(mapping(*PROVIDERS.values(), CUSTOM)), "The workflows.", required=True
    ),
)  # fmt: skip
LANGUAGE: Final = mapping(LANGUAGE_FIELDS)
