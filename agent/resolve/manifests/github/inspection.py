"""The inspection of a manifest before anybody uses it: what GitHub would refuse, miss or drop, and what is not there.

Who runs an action asks none of this. Source: actions/runner `action_yaml.json` (which mappings are strict),
`ActionManifestManager.cs`; GitHub's "Metadata syntax reference".
"""

from collections.abc import Collection, Iterator
from typing import Final

from agent.flow.members import find_close
from agent.flow.problems import Problem
from agent.flow.source import Mapping, Node, key_text
from agent.resolve.manifests.github.neighbours import inspect_files, inspect_uses
from agent.resolve.manifests.github.surroundings import Surroundings, find, text_of, warn
from agent.resolve.manifests.github.templates import STAGE_IF, check_condition

_ROOT: Final = ("name", "author", "description", "inputs", "outputs", "runs", "branding", "cache")
_INPUT: Final = ("description", "required", "default", "deprecationMessage", "type")
_OUTPUT: Final = ("description", "value")
_STAGES: Final = ("using", "main", "pre", "pre-if", "post", "post-if")
_DOCKER: Final = (
    *("using", "image", "entrypoint", "args", "env"),
    *("pre-entrypoint", "pre-if", "post-entrypoint", "post-if"),
)
_RUNS: Final = {
    "composite": ("using", "steps"),
    "docker": _DOCKER,
    "human": ("using", "form"),
    **dict.fromkeys(("node12", "node16", "node20", "node24", "python"), _STAGES),
}
_OLD: Final = {
    "node12": "node 12 ended in 2022: GitHub and this agent run it on a later one",
    "node16": "node 16 ended in 2023: GitHub and this agent run it on a later one",
    "node20": "node 20 ended in April 2026: GitHub runs it on node 24",
}


def inspect_nodes(manifest: Node, around: Surroundings) -> Iterator[Problem]:
    """What is to be said of a manifest's nodes beyond what makes it invalid, in no order."""
    runs = find(manifest, "runs")
    using = text_of(find(runs, "using")).lower()
    yield from _inspect_keys(manifest, runs, using)
    if using in _OLD:
        yield warn(find(runs, "using") or manifest, _OLD[using], "write `using: node24`, and test with it")
    if using == "composite":
        yield from _inspect_outputs(find(manifest, "outputs"))
    problems: list[Problem] = []
    for key in ("pre-if", "post-if"):
        check_condition(find(runs, key), STAGE_IF, problems)
    yield from problems
    yield from inspect_files(runs, using, around)
    yield from inspect_uses(runs, around)


def _inspect_keys(manifest: Node, runs: Node | None, using: str) -> Iterator[Problem]:
    if isinstance(manifest, Mapping):
        for key in ("name", "description"):
            if not text_of(manifest.find(key)).strip():
                yield warn(
                    manifest,
                    f"the action has no `{key}:`",
                    "people see it in lists, logs and the Marketplace",
                )
    yield from _list_unknown(manifest, _ROOT, is_strict=False)
    for entry in _values(find(manifest, "inputs")):
        yield from _list_unknown(entry, _INPUT, is_strict=False)
    for entry in _values(find(manifest, "outputs")):
        yield from _list_unknown(entry, _OUTPUT, is_strict=True)
    if using in _RUNS:
        yield from _list_unknown(runs, _RUNS[using], is_strict=True)


def _list_unknown(node: Node | None, known: Collection[str], *, is_strict: bool) -> Iterator[Problem]:
    """A key that is not known: where GitHub passes over those, only what is nearly a known one is a mistake."""
    if not isinstance(node, Mapping):
        return
    for key, _ in node.pairs:
        name = key_text(key)
        close = "" if name in known else find_close(name, known)
        if name in known or not (is_strict or close):
            continue
        what = "GitHub refuses a manifest with it" if is_strict else "it is passed over"
        yield warn(key, f"Unexpected value '{name}': {what}", f"did you mean `{close}`?" if close else "")


def _inspect_outputs(outputs: Node | None) -> Iterator[Problem]:
    for key, entry in outputs.pairs if isinstance(outputs, Mapping) else ():
        if find(entry, "value") is None:
            hint = "write `value: ${{ steps.ID.outputs.NAME }}` below it"
            yield warn(
                key,
                f"the output '{key_text(key)}' is always empty: a composite action's has a `value:`",
                hint,
            )


def _values(node: Node | None) -> list[Node]:
    return [value for _, value in node.pairs] if isinstance(node, Mapping) else []
