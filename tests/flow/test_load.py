"""The front door: dialects, all problems at once, and input that means harm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flows import check_flow

from agent.flow.load import DIALECTS, LIMITS, detect_dialect, find_front_end, load_flow
from agent.flow.problems import InvalidFlowError, Problem, Severity
from agent.flow.source import read_nodes

GOOD = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo\n"


def detect(text, file="flow.yml"):
    return detect_dialect(read_nodes(text, file)[0], file)


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        (GOOD, "github"), ("", "github"), ("- a", "github"), ("jobs: 5", "github"), ("jobs: {a: 5, b: {steps: x}}", "github"),
        ("workflows: [{name: a}]", "dstack"), ("workflows: {a: b}", "github"),
        ("type: task\ncommands: [a]", "dstack"), ("type: task\njobs: {}", "github"), ("type: other", "github"), ("stages: [{name: a}]", "jumpwire"),
        ("triggers: {manual: {}}", "datatorch"), ("on: push\ntriggers: x", "github"),
        ("$schema: https://datatorch.io/x.json\njobs: {}", "datatorch"), ("$schema: https://x/y.json", "github"),
        ("jobs: {a: {steps: [{action: o/n@v1}]}}", "datatorch"),
        ('{"name": "N", "jobs": {"a": {"steps": [{"acton": "o/n", "inputs": {}}]}}}', "datatorch"),
        ("jobs: {a: {runs-on: x, steps: [{uses: o/n@v1, inputs: {}}]}}", "github"), ("jobs: {a: {steps: [{run: x}]}}", "github"),
        ("workflows: [{name: a}]\ntriggers: manual", "dstack"), ("on: push\njobs: {a: {steps: [{action: o/n}]}}", "github"), ("jobs: {a: {uses: container@v1}}", "gradient"),
        ("jobs: {a: {outputs: {s: {type: dataset}}}}", "gradient"), ("jobs: {a: {outputs: {s: x}}}", "github"),
        ("jobs: {a: {inputs: {d: workflow.inputs.data}}}", "gradient"), ("jobs: {a: {inputs: {d: x}}}", "github"),
        ("defaults: {resources: {instance-type: C5}}", "gradient"), ("defaults: {run: {shell: x}}", "github"),
    ],
)  # fmt: skip
def test_a_file_gives_its_dialect_away(text, dialect):
    assert detect(text) == dialect


@pytest.mark.parametrize(
    ("file", "dialect"),
    [
        (".dstack/workflows.yaml", "dstack"), ("/p/.dstack/workflows/a.yml", "dstack"),
        ("C:\\p\\.dstack\\workflows.yml", "dstack"), (".gradient/workflows/train.yaml", "gradient"),
    ],
)  # fmt: skip
def test_a_place_gives_a_dialect_away(file, dialect):
    assert detect("a: 1", file) == dialect


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_language_takes_more_than_what_a_file_is_read_with(dialect):
    assert all(own <= most for own, most in zip(find_front_end(dialect).limits, LIMITS, strict=True))


def test_who_calls_decides_then_the_first_line_then_the_contents():
    assert check_flow("workflows: []", "f.yml")[0].message == "there is no workflow"
    assert check_flow(f"# dialect: dstack\n{GOOD}", "f.yml", "github") == []
    assert (
        check_flow(f"# dialect: github\nworkflows: []\n{GOOD}", "f.yml")[0].message
        == "Unexpected value 'workflows'"
    )
    assert check_flow(GOOD, "f.yml", "basic")[0].message == "there is no dialect 'basic'"


def test_a_good_flow_is_loaded_with_its_warnings():
    loaded = load_flow(
        GOOD.replace("- run: echo", "- {run: echo, if: '${{ a }} b'}").replace("${{ a", "${{ github"), "f.yml"
    )
    assert list(loaded.flow.jobs) == ["a"]
    assert [warning.severity for warning in loaded.warnings] == [Severity.WARNING]


def test_a_bad_flow_is_refused_with_all_its_problems():
    with pytest.raises(InvalidFlowError) as caught:
        load_flow("on: nothing\njobs: {a: {runs: x}}", "f.yml")
    assert len(caught.value.problems) == 3
    assert "f.yml:1:5: Unexpected value 'nothing'" in str(caught.value)


def test_a_tag_or_an_unknown_alias_does_not_hide_the_other_problems():
    found = check_flow("on: !x push\nname: *nobody\njobs: {a: {runs: x}}", "f.yml")
    assert [problem.message.split(".")[0] for problem in found] == [
        "Unexpected tag '!x'",
        "Unknown anchor 'nobody'",
        "There's not enough info to determine what you meant",
        "Unexpected value 'runs'",
    ]


HOSTILE = {
    "ten thousand jobs": "on: push\njobs:\n"
    + "".join(f"  j{n}: {{runs-on: x, steps: [{{run: a}}]}}\n" for n in range(10_000)),
    "calls": "on: push\njobs:\n" + "".join(f"  j{n}: {{uses: ./a.yml}}\n" for n in range(12_000)),
    "long expression": f"on: push\njobs: {{a: {{runs-on: x, if: '{'!' * 100_000}a'}}}}",
    "long chain": f'on: push\njobs: {{a: {{runs-on: x, if: "{"a.b == 1 && " * 7_000}true"}}}}',
    "many expressions": f"on: push\nrun-name: '{'${{ github.a }}' * 60_000}'\njobs: {{a: {{runs-on: x}}}}",
    "open expressions": f"on: push\nrun-name: '{'${{ ' * 200_000}'\njobs: {{a: {{runs-on: x}}}}",
    "unknown keys": "on: push\n" + "".join(f"k{n}: 1\n" for n in range(20_000)) + "jobs: {}",
    "misspelt keys": "on: push\njobs:\n" + "".join(f"  j{n}: {{run-on: x}}\n" for n in range(6_000)),
    "repeated keys": "on: push\nenv: {" + "a: 1, " * 20_000 + "}\njobs: {}",
    "aliases": "on: push\nx: &a [1,2,3]\nenv: {"
    + ", ".join(f"k{n}: *a" for n in range(9_000))
    + "}\njobs: {}",
    "needs": "on: push\njobs:\n  a: {runs-on: x}\n"
    f"  b: {{runs-on: x, needs: [{', '.join(['c'] * 40_000)}]}}",
    "ids": "on: push\njobs: {a: {runs-on: x, steps: [" + "{run: a}, " * 8_000 + "]}}",
    "one long line": "on: push\nname: " + "x" * 1_000_000,
    "aliased expressions": 'on: push\nx: &a "${{ '
    + "github.a == 1 || " * 1_200
    + 'true }}"\njobs: {a: {runs-on: x, steps: ['
    + "{run: *a, if: *a}, " * 120
    + "]}}",
    "aliased patterns": "on: {push: {branches: [&a '" + "a?" * 250_000 + "'" + ", *a" * 9 + "]}}\njobs: {}",
    "aliased scripts": "on: push\nx: &a '"
    + "${{ github.a }}" * 1_300
    + "'\njobs: {a: {runs-on: x, steps: ["
    + "{run: *a}, " * 250
    + "]}}",
    "missing members": "on: push\njobs: {a: {runs-on: x, strategy: {matrix: {k: [{"
    + ", ".join(f"aaaaaaaaaaaaaaaaaaaa{n}: 1" for n in range(490))
    + "}]}}, steps: ["
    + ", ".join(f"{{run: '${{{{ matrix.k.aaaaazaaaaaa{n} }}}}'}}" for n in range(3_000))
    + "]}}",
    "aliased missing members": "on: push\nx: &a '"
    + "".join(f"${{{{ matrix.k{n} }}}}" for n in range(500))
    + "'\njobs: {a: {runs-on: x, steps: ["
    + "{run: *a, name: *a}, " * 200
    + "]}}",
    "needs of nobody": "on: push\njobs:\n  a: {runs-on: x}\n"
    + "".join(f"  j{n}: {{runs-on: x, needs: a, if: needs.j{n}.result}}\n" for n in range(4_000)),
    "deep": "on: push\njobs: " + "{a: " * 10_000,
    "pattern": "on: {push: {branches: ['" + "a?" * 5_000 + "']}}\njobs: {a: {runs-on: x}}",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_end_in_problems_or_a_flow(name):
    problems = check_flow(HOSTILE[name], "f.yml")
    assert len(problems) <= 1001
    assert all(isinstance(problem, Problem) for problem in problems)


_WORDS = [
    "on", "push", "jobs", "a", "runs-on", "steps", "run", "uses", "if", "needs", "strategy", "matrix", "env", "with", "secrets",
    "inherit", "${{ github.a }}", "${{", "}}", "'", "'x'", "insert", "wait", "parallel", "cancel", "id", "workflow_call", "inputs",
    "type", "string", "default", "schedule", "cron", "* * * * *", "concurrency", "group", "container", "services", "1", "true",
    "null", "", "include", "exclude", "permissions", "snapshot", "version", "!x", "&a", "*a", "<<", "outputs", "value", "types",
]  # fmt: skip
_values = st.recursive(
    st.sampled_from(_WORDS) | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=6),
    max_leaves=25,
)


@given(
    st.dictionaries(st.sampled_from(["on", "jobs", "env", "concurrency", "defaults", "permissions"]), _values)
)
def test_any_structure_is_a_flow_or_problems(value):
    import yaml

    check_flow(yaml.safe_dump(value, sort_keys=False), "f.yml", "github")


_JOB_KEYS = ["runs-on", "steps", "needs", "if", "strategy", "uses", "with", "secrets", "container", "services", "concurrency",
             "snapshot", "defaults", "environment", "outputs", "permissions"]  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "__c"]), st.dictionaries(st.sampled_from(_JOB_KEYS), _values), min_size=1
    )
)
def test_any_jobs_are_a_flow_or_problems(jobs):
    import yaml

    check_flow(yaml.safe_dump({"on": "push", "jobs": jobs}, sort_keys=False), "f.yml", "github")


@given(
    st.lists(
        st.sampled_from([*_WORDS, ":", "-", "{", "}", "[", "]", "\n", "\n  ", "\n    ", " ", ",", "|", ">"]),
        max_size=40,
    )
)
def test_any_text_is_a_flow_or_problems(pieces):
    check_flow("".join(pieces), "f.yml")
