"""Answers of people, looked at once more: the first is the one that counts, and a misspelt name would be in it for good."""

from collections.abc import Mapping
from typing import Final

from agent.errors import UsageError
from agent.flow.forms import check_values, fields_of
from agent.flow.members import find_close

# Keywords that name other fields than `properties` does, or say what others may be.
_OPENING: Final = frozenset(
    {
        *("additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames"),
        *("allOf", "anyOf", "oneOf", "if", "dependentSchemas", "dependencies"),
        *("$ref", "$dynamicRef", "$recursiveRef"),
    }
)


def check_answer(form: Mapping[str, object], given: Mapping[str, object], where: str) -> dict[str, object]:
    """`check_values` of a person's answer, which is final: a name that the form does not have is refused where the form does not say that it may be there.

    JSON Schema lets other names be (2020-12, 10.3.2.3); among those of an answer they are misspelt ones.
    """
    strange = [] if _may_have_others(form) else [name for name in given if name not in fields_of(form)]
    if strange:
        fields = [name for name in fields_of(form) if name not in given]
        meant = [f"`{close}`" for name in strange if (close := find_close(name, fields))]
        raise UsageError(
            f"the form has no field {', '.join(repr(name[:80]) for name in strange[:10])}",
            where=where,
            hint=f"did you mean {', '.join(meant)}?"
            if meant
            else f"its fields: {', '.join(fields_of(form))}",
        )
    return check_values(form, given, where)


def _may_have_others(form: Mapping[str, object]) -> bool:
    """Whether an answer may have fields that are not among the form's `properties`, as far as its top says."""
    return not fields_of(form) or not form.keys().isdisjoint(_OPENING)
