"""Whatever stands in a file, the front end answers with problems, each in the file, and never with an exception."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from agent.flow.load import inspect_flow
from agent.flow.problems import Severity
from agent.resolve.manifests.datatorch import parse_manifest
from agent.resolve.manifests.model import InvalidActionError

_TEXTS = st.sampled_from(
    [
        "", "a", "o/r@v1", "./x", "docker://i", "https://h/o/r@v1", "${{ variable.a }}", "${{ steps.a b.output.c }}",
        "${{ jobs.a.outputs.b }}", "${{ a | b }}", "${% x %}", "${{", "success()", "manual", "0 3 * * *", "OWNER", "a@b",
        "python", "cmd", "human", "docker", "script", "node", "integer", "list", "x y 'z",
    ]
)  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats(allow_nan=False) | _TEXTS
_FLOW_KEYS = st.sampled_from(
    [
        "name", "jobs", "triggers", "project", "$schema", "description", "a", "b", "steps", "needs", "outputs", "resources",
        "runs-on", "id", "if", "action", "inputs", "timeout", "cache", "tag", "git", "file", "manual", "role", "form",
        "annotatorButton", "icon", "flow", "schedule", "cron", "timezone", "outside", "types", "datasetVersion", "names", "<<",
    ]
)  # fmt: skip
_ACTION_KEYS = st.sampled_from(
    [
        "name", "author", "description", "cache", "inputs", "outputs", "env", "runs", "using", "command", "main", "script",
        "image", "a", "type", "required", "default", "options", "multiline", "deprecationMessage",
    ]
)  # fmt: skip


def _trees(keys: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    return st.recursive(
        _SCALARS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=25,
    )


_STEPS = st.lists(
    st.fixed_dictionaries(
        {"action": _TEXTS},
        optional={"name": _TEXTS, "id": _TEXTS, "inputs": _trees(_FLOW_KEYS), "if": _TEXTS},
    ),
    max_size=3,
)
_FLOWS = st.fixed_dictionaries(
    {
        "name": _TEXTS,
        "jobs": st.dictionaries(
            st.sampled_from(["a", "b", "1"]), st.fixed_dictionaries({"steps": _STEPS}), max_size=2
        ),
    },
    optional={"triggers": _trees(_FLOW_KEYS)},
)


@given(_trees(_FLOW_KEYS) | _FLOWS)
def test_any_flow_is_judged(tree):
    flow, problems = inspect_flow(json.dumps(tree), "f.json", "datatorch")
    assert (flow is None) == any(problem.severity is Severity.ERROR for problem in problems)
    assert all(problem.position.file == "f.json" and problem.position.line == 1 for problem in problems)


@given(
    _trees(_ACTION_KEYS)
    | st.fixed_dictionaries({"name": _TEXTS, "runs": st.dictionaries(_ACTION_KEYS, _TEXTS)})
)
def test_any_manifest_is_judged(tree):
    with contextlib.suppress(InvalidActionError):  # whose first problem is its own text
        assert parse_manifest(json.dumps(tree), "action-datatorch.yaml").conventions == "datatorch"
