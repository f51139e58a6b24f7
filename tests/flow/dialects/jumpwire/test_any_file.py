"""Whatever stands in a file, the front end answers with problems, each in the file, and never with an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from agent.flow.dialects.jumpwire.actions import KNOWN
from agent.flow.dialects.jumpwire.table.stages import STAGES
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.load import inspect_flow
from agent.flow.problems import Severity

_TEXTS = st.sampled_from(
    [
        "", "a", "b", "/x", "http://h/x", "http://[", "${secret.A}", "${secret.", "${{ a }}", "0 3 * * *", "Europe/Berlin", "UTC/",
        "(", "[[a]", "/a/i", "(?P<", "2 GiB", "int", "post", "latest", "a\nb", "\x00", "x" * 300, "a/b@v1",
    ]
)  # fmt: skip
_SCALARS = st.none() | st.booleans() | st.integers(-5, 10**9) | st.floats(allow_nan=False) | _TEXTS
_CONFIG_KEYS = st.sampled_from(
    sorted({key for action in (*TRIGGERS.values(), *STAGES.values()) for key in action.config.keys})
)
_KEYS = st.sampled_from(
    ["name", "stages", "action", "config", "out", "outs", "attempts", "jitter", "a", "<<"]
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _CONFIG_KEYS, inner, max_size=4),
    max_leaves=20,
)
_STAGE = st.fixed_dictionaries(
    {"name": st.sampled_from(["a", "b", "c"]) | _SCALARS, "action": st.sampled_from(KNOWN) | _TEXTS},
    optional={
        "config": st.dictionaries(_CONFIG_KEYS, _TREES, max_size=5),
        "out": st.lists(st.sampled_from(["a", "b", "c"]) | _SCALARS, max_size=3) | _TREES,
    },
)
_FLOWS = st.fixed_dictionaries({"name": _SCALARS, "stages": st.lists(_STAGE | _TREES, max_size=4)})


@given(_TREES | _FLOWS)
def test_any_flow_is_judged(tree):
    flow, problems = inspect_flow(json.dumps(tree), "f.json", "jumpwire")
    assert (flow is None) == any(problem.severity is Severity.ERROR for problem in problems)
    assert all(problem.position.file == "f.json" and problem.position.line == 1 for problem in problems)
    for stage in flow.jobs["stages"].stages if flow else ():
        json.dumps(stage.config)
