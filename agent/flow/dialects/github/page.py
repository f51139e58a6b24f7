"""docs/flow-language.md, made from the table of the language."""

from collections.abc import Iterator
from typing import Final

from agent.flow.dialects.github.limits import LIMITS
from agent.flow.dialects.github.table.events import EVENTS
from agent.flow.dialects.github.table.flow import FLOW_FIELDS
from agent.flow.document import describe_shape, list_sections, write_keys
from agent.flow.identifiers import MAX_LENGTH as MAX_ID_LENGTH
from agent.flow.shapes import Fields, Key

_HEAD: Final = f"""\
# The flow language

<!-- Made by `python -m agent.cli.flow.language` from the table in agent/flow/dialects/github/table. Change the table, not this page. -->

A flow is a YAML file in GitHub Actions' workflow language. This page has every key: what it may hold, which expressions
may stand in it, and what it means. A key in **bold** must be there.

`agent flow validate FILE...` prints every problem of a file with its place and, where we know one, a remedy.
`agent flow schema` prints the same table as a JSON schema for editors.

## How the file is read

- YAML 1.2: only `true` and `false` are booleans, `on` and `yes` are text, dates are text, `0o14` is twelve and `0x1F`
  thirty-one. Where text is wanted, other scalars become text: `1.10` is read as the number 1.1 and becomes `1.1`, so put
  versions in quotes.
- Anchors and aliases work; the merge key `<<` does not. A key may stand once in its mapping, whatever its case.
- Limits: {LIMITS.characters:,} characters, {LIMITS.depth} lists and mappings inside one another,
  {LIMITS.nodes:,} scalars, starts and ends with aliases counted as what they stand for.
- Columns count as editors count: a character outside Unicode's basic plane, such as most emoji, is two.
- Ids of jobs and steps begin with a letter or `_`, go on with letters, digits, `_` and `-`, have under {MAX_ID_LENGTH}
  characters, do not begin with `__`, and differ in more than case.

## Expressions

`${{{{ }}}}` holds an expression; the column *expressions* names the contexts that it may use there, and the functions beyond
the common ones (`contains`, `startsWith`, `endsWith`, `format`, `join`, `toJSON`, `fromJSON`, `case`). A dash: none may
stand there. A value that is one `${{{{ }}}}` keeps its type; within text it becomes text. The braces may be left out in
`if`; text *around* them there is always true, which is never what was meant, and warned about.
In mappings that take expressions, the key `${{{{ insert }}}}` adds the pairs of the mapping that its value gives.

A name that is not there is empty, without a word, when the flow runs. So `agent flow validate`, `run` and `submit` warn of
each that cannot be there: members of `github`, `runner`, `job` and `strategy` that do not exist; ids of steps that the job
does not have, or that do not stand above; jobs that `needs` does not name; outputs that a job, a called flow or an action of
the same repository does not declare; keys that neither the matrix nor its `include` has; inputs that no trigger declares, and
what a `workflow_dispatch` does not say where nothing else starts the flow. `validate` and `agent action info` do the same for
the inputs and steps of composite actions. What only a run can tell is not judged: `env`,
`vars`, `secrets`, outputs of scripts and of actions from elsewhere, a matrix that is an expression, the payloads of events.

What expressions may cost is bounded. Planning what follows from one event of a run (its start, a job's end) has 32 million
characters and 500,000 steps, one key of a job or a step on its machine 512 million and 5 million. A step is an operator, a
name or a call, or an item that is searched; a text costs its characters each time that it is compared, searched or put
together, and JSON four times as many when it is read or written (the same object once). What costs more fails its job, or
its step, with the place. A matrix may have 65,536 cells before `exclude`.
"""

_SECTION_NOTES: Final = {
    "on": "One event, a list of events, or a mapping from events to their settings:",
    "matrix": (
        "Every other key is a vector: a list of values. The job runs once for each combination; a combination that "
        "matches an `exclude` is left out, an `include` adds values to those that it matches or else a combination of "
        "its own."
    ),
    "permissions": "As soon as one is named, those that are not named are `none`. `{}` takes all away.",
    "defaults.run": "In a job's defaults, expressions may use `github inputs vars needs strategy matrix env`.",
    "run step": "A step has the keys of exactly one of the six kinds below.",
}
_FILTERS: Final = (
    "branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore", "names", "versions",
)  # fmt: skip
_PATTERNS: Final = """\

Patterns: `*` is anything but `/`, `**` anything, `?` makes the character before it optional, `+` lets it repeat, `[]` is a
set of characters, `\\` takes the meaning of the next away, `!` at the beginning takes out what a pattern above took in. A
flow that filters branches does not start for tags, and the other way round; `paths` and `branches` must both agree.
"""


def make_page() -> str:
    """The page, in Markdown."""
    return "\n".join([_HEAD, *_write_sections()]).rstrip() + "\n"


def _write_sections() -> Iterator[str]:
    for fields, scope in list_sections(FLOW_FIELDS, _is_plain_event):
        yield f"\n## {fields.name}\n"
        if fields.name in _SECTION_NOTES:
            yield f"{_SECTION_NOTES[fields.name]}\n"
        if fields is EVENTS:
            yield from _write_events()
        else:
            yield from write_keys(fields, scope)


def _is_plain_event(fields: Fields, key: Key) -> bool:
    """Whether a key is an event that the table of events describes in full."""
    return fields is EVENTS and all(
        set(inner.keys) <= {"types", *_FILTERS} for inner in key.shape.mappings
    ) and not key.shape.items  # fmt: skip


def _write_events() -> Iterator[str]:
    yield "| event | types | filters |\n| --- | --- | --- |"
    for key in EVENTS.keys.values():
        if not _is_plain_event(EVENTS, key):
            shape = describe_shape(key.shape)
            yield f"| `{key.name}` | {shape} | {key.about} |"
            continue
        inner = key.shape.mappings[0].keys if key.shape.mappings else {}
        types = inner["types"].shape.words if "types" in inner else ()
        names = ", ".join(f"`{name}`" for name in types) or ("any" if "types" in inner else "–")
        filters = ", ".join(f"`{name}`" for name in inner if name != "types") or "–"
        yield f"| `{key.name}` | {names} | {filters} |"
    yield _PATTERNS
