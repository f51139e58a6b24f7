"""GitHub's language: what a file means in the model, and what is wrong with it, where, in which words."""

import pytest
from support.flows import check_flow

from agent.flow.load import load_flow
from agent.flow.model import Concurrency, Defaults, FlowCall, Input, StepKind, Strategy
from agent.flow.problems import Severity

STEPS = "runs-on: x\n    steps:\n      - run: echo"


def load(text):
    return load_flow(text, "f.yml").flow


def load_job(body, *, on="push"):
    """The job `a` with that body, indented by four."""
    return load(f"on: {on}\njobs:\n  a:\n    {body}\n").jobs["a"]


def load_steps(steps):
    return load_job("runs-on: x\n    steps:\n" + steps).steps


def complaints(text, severity=Severity.ERROR):
    return [
        f"{p.position.line}:{p.position.column}: {p.message}"
        for p in check_flow(text, "f.yml")
        if p.severity is severity
    ]


def job_complaints(body):
    """Errors in a job; its first line is line 4, column 5."""
    return complaints(f"on: push\njobs:\n  a:\n    {body}\n")


def step_complaints(steps):
    """Errors in the steps of a job; the first is line 6, column 9."""
    return job_complaints("runs-on: x\n    steps:\n" + steps)


# --- what a file means ---------------------------------------------------------------------------------------------


def test_a_flow_has_its_name_its_texts_and_its_defaults():
    flow = load(
        "name: CI\nrun-name: by ${{ github.actor }}\non: push\nenv: {A: 1.10, B: true, C: , D: '${{ vars.d }}'}\n"
        "defaults: {run: {shell: bash, working-directory: src}}\nconcurrency: ci\npermissions: {contents: read}\n"
        f"jobs:\n  a:\n    {STEPS}\n"
    )
    assert (flow.name, flow.title, flow.run_name, flow.dialect.name) == (
        "CI",
        "CI",
        "by ${{ github.actor }}",
        "github",
    )
    assert flow.env == {"A": "1.1", "B": "true", "C": "", "D": "${{ vars.d }}"}
    assert flow.defaults == Defaults("bash", "src")
    assert flow.concurrency == Concurrency("ci")
    assert flow.permissions == {"contents": "read"}


def test_what_is_not_said_is_not_there():
    flow = load(f"on: push\nname: ''\njobs:\n  a:\n    {STEPS}\n")
    job = flow.jobs["a"]
    assert (flow.name, flow.title, flow.env, flow.permissions, flow.concurrency) == (
        None,
        "f.yml",
        None,
        None,
        None,
    )
    assert flow.trigger("push")
    assert not flow.trigger("pull_request")
    assert (job.name, job.needs, job.condition, job.env, job.call) == (None, (), "success()", None, None)
    assert (job.timeout_minutes, job.cancel_timeout_minutes, job.continue_on_error) == (360.0, 5.0, False)
    assert job.strategy == Strategy()


def test_a_job_has_all_that_was_written():
    job = load(
        f"""
on: push
jobs:
  first:
    {STEPS}
  a:
    name: A ${{{{ matrix.os }}}}
    needs: first
    if: github.ref == 'x'
    runs-on: [self-hosted, '${{{{ matrix.os }}}}']
    timeout-minutes: 10
    cancel-timeout-minutes: ${{{{ matrix.m }}}}
    continue-on-error: true
    env: {{X: '${{{{ secrets.X }}}}'}}
    defaults: {{run: {{shell: '${{{{ matrix.s }}}}'}}}}
    permissions: read-all
    concurrency: {{group: 'g-${{{{ matrix.os }}}}', cancel-in-progress: '${{{{ inputs.c }}}}', queue: max}}
    outputs: {{o: '${{{{ steps.s.outputs.o }}}}'}}
    container: {{image: node, ports: [80]}}
    services: {{db: postgres, off: {{image: redis, command: run}}}}
    environment: {{name: prod, url: '${{{{ steps.s.outputs.u }}}}', deployment: false}}
    snapshot: {{image-name: i, version: 2.*, if: matrix.x}}
    resources: {{cpus: 8, memory: 64GB, gpus: '${{{{ matrix.g }}}}'}}
    priority: 5
    nodes: 2
    strategy:
      fail-fast: false
      max-parallel: 2
      matrix: {{os: [a, b], include: [{{os: c, n: 1}}]}}
    steps:
      - run: x
"""
    ).jobs["a"]
    assert (job.id, job.name, job.needs) == ("a", "A ${{ matrix.os }}", ("first",))
    assert job.condition == "success() && (github.ref == 'x')"
    assert job.runs_on == ["self-hosted", "${{ matrix.os }}"]
    assert (job.timeout_minutes, job.cancel_timeout_minutes, job.continue_on_error) == (
        10,
        "${{ matrix.m }}",
        True,
    )
    assert job.env == {"X": "${{ secrets.X }}"}
    assert job.defaults == Defaults("${{ matrix.s }}", None)
    assert job.permissions is not None
    assert (job.permissions["contents"], job.permissions.get("id-token")) == ("read", None)
    assert job.concurrency == Concurrency("g-${{ matrix.os }}", "${{ inputs.c }}", "max")
    assert job.outputs == {"o": "${{ steps.s.outputs.o }}"}
    assert job.container == {"image": "node", "ports": ["80"]}
    assert job.services == {"db": "postgres", "off": {"image": "redis", "command": "run"}}
    assert job.environment == {"name": "prod", "url": "${{ steps.s.outputs.u }}", "deployment": False}
    assert job.snapshot == {"image-name": "i", "version": "2.*", "if": "success() && (matrix.x)"}
    assert job.resources == {"cpus": 8, "memory": "64GB", "gpus": "${{ matrix.g }}"}
    assert (job.priority, job.nodes) == (5, 2)
    assert job.strategy == Strategy({"os": ["a", "b"], "include": [{"os": "c", "n": 1}]}, False, 2)
    assert str(job.position) == "f.yml:8:3"


def test_all_permissions_are_written_out():
    every = load(f"on: push\npermissions: write-all\njobs:\n  a:\n    {STEPS}\n").permissions
    assert every is not None
    assert (every["id-token"], every["contents"], every["models"]) == ("write", "write", "read")
    assert load(f"on: push\npermissions: {{}}\njobs:\n  a:\n    {STEPS}\n").permissions == {}


def test_a_mapping_may_be_one_expression():
    job = load_job(
        "runs-on: x\n    env: ${{ fromJSON('{}') }}\n    strategy: ${{ fromJSON(vars.s) }}\n"
        "    defaults: {run: '${{ fromJSON(vars.d) }}'}\n    steps: [{uses: ./x, with: '${{ matrix }}'}]"
    )
    assert job.env == "${{ fromJSON('{}') }}"
    assert job.strategy.matrix == "${{ (fromJSON(vars.s))['matrix'] }}"
    assert job.strategy.fail_fast == "${{ toJSON((fromJSON(vars.s))['fail-fast']) != 'false' }}"
    assert job.strategy.max_parallel == "${{ (fromJSON(vars.s))['max-parallel'] }}"
    assert job.defaults.shell == "${{ (fromJSON(vars.d))['shell'] }}"
    assert job.steps[0].with_ == {"${{ insert }}": "${{ matrix }}"}
    inserted = load_job(
        "runs-on: x\n    strategy: {'${{ insert }}': '${{ fromJSON(vars.s) }}', fail-fast: false}"
    ).strategy
    assert (inserted.matrix, inserted.fail_fast) == ("${{ (fromJSON(vars.s))['matrix'] }}", False)
    assert load_job("runs-on: x\n    strategy: a ${{ vars.s }}").strategy.matrix == "${{ (null)['matrix'] }}"


def test_a_calling_job_has_its_call():
    job = load_job(
        "uses: ./.github/workflows/b.yml\n    with: {n: 5, t: yes}\n    secrets: {k: '${{ secrets.k }}'}"
    )
    assert job.call == FlowCall("./.github/workflows/b.yml", {"n": 5, "t": "yes"}, {"k": "${{ secrets.k }}"})
    inheriting = load_job("uses: o/r/.github/workflows/b.yml@v1\n    secrets: inherit").call
    assert inheriting == FlowCall("o/r/.github/workflows/b.yml@v1", inherits_secrets=True)


def test_the_forms_of_a_step():
    steps = load_steps(
        "      - {id: s, run: 5, shell: sh, background: true, working-directory: w, env: {A: 1}}\n"
        "      - {uses: actions/checkout@v4, with: {depth: 0}, timeout-minutes: 3, continue-on-error: true, name: C}\n"
        "      - {wait: [s]}\n      - wait-all:\n      - {cancel: s, name: Stop}\n"
        "      - parallel:\n          - run: a\n          - {uses: './x', if: failure()}\n"
    )
    run, uses, wait, wait_all, cancel, parallel = steps
    assert [step.kind for step in steps] == list(StepKind)
    assert (run.id, run.run, run.shell, run.background, run.working_directory) == ("s", "5", "sh", True, "w")
    assert run.env == {"A": "1"}
    assert (uses.uses, uses.with_, uses.timeout_minutes) == ("actions/checkout@v4", {"depth": "0"}, 3)
    assert (uses.continue_on_error, uses.name, uses.condition) == (True, "C", "success()")
    assert (wait.targets, wait.name, wait.condition) == (("s",), "Wait", "always()")
    assert (wait_all.name, cancel.name, cancel.targets, parallel.name) == (
        "Wait for all",
        "Stop",
        ("s",),
        "Parallel group",
    )
    assert [child.background for child in parallel.children] == [True, True]
    assert parallel.children[1].condition == "failure()"
    assert str(uses.position) == "f.yml:7:9"


def test_steps_without_an_id_get_one_that_no_other_has():
    steps = load_steps(
        "      - run: a\n      - run: b\n      - uses: actions/checkout@v4\n      - uses: actions/checkout@v3\n"
        "      - uses: ./a\n      - uses: $/b\n      - uses: docker://x:1\n      - wait-all:\n      - parallel: [{run: c}]\n"
    )
    assert [step.id for step in steps] == [
        "__run", "__run_2", "__actions_checkout", "__actions_checkout_2", "__self", "__selfRepository", "__x_1", "__wait-all", "__parallel",
    ]  # fmt: skip
    assert steps[-1].children[0].id == "__run_3"


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("true", "success() && (true)"), ("''", "success()"), ("", "success()"), ("always()", "always()"),
        ("${{ failure() }}", "failure()"), ("!cancelled()", None), ("github.ref == 'a'", "success() && (github.ref == 'a')"),
        ("\"a == 'b' && 1\"", None), ("${{ github.ref }} == 'x'", "success() && (format('{0} == ''x''', github.ref))"),
    ],
)  # fmt: skip
def test_an_if_is_an_expression_in_normal_form(written, condition):
    text = f"on: push\njobs:\n  a:\n    if: {written}\n    {STEPS}\n"
    if condition is None:
        assert complaints(text)
    else:
        assert load(text).jobs["a"].condition == condition


def test_text_around_an_expression_in_an_if_is_warned_about():
    (warning,) = load_flow(
        f"on: push\njobs:\n  a:\n    if: ${{{{ false }}}} || x\n    {STEPS}\n", "f.yml"
    ).warnings
    assert str(warning.position) == "f.yml:4:9"
    assert "any text is true" in warning.message


# --- triggers ------------------------------------------------------------------------------------------------------


def test_events_as_name_list_or_mapping():
    jobs = f"\njobs:\n  a:\n    {STEPS}\n"
    assert [t.event for t in load(f"on: push{jobs}").triggers] == ["push"]
    assert [t.event for t in load(f"on: [push, fork]{jobs}").triggers] == ["push", "fork"]
    push, call = load(f"on:\n  push: {{branches: main, paths: [a, b]}}\n  workflow_call:{jobs}").triggers
    assert push.filters == {"branches": ("main",), "paths": ("a", "b")}
    assert (str(push.position), call.inputs) == ("f.yml:2:3", ())


def test_inputs_secrets_outputs_and_schedules():
    flow = load(
        """
on:
  workflow_call:
    inputs: {s: {type: string, required: true, description: d}, n: {type: number, default: 5}}
    secrets: {k: {required: true}, l: }
    outputs: {o: {value: '${{ jobs.a.outputs.o }}'}}
  workflow_dispatch:
    inputs: {c: {type: choice, options: [1, b], default: b}, plain: }
  schedule: [{cron: '0 0 * * *', timezone: Europe/Berlin}, {cron: 0 1 * * *}]
jobs: {a: {runs-on: x}}
""".replace(", plain: }", ", plain: {}}")
    )
    call, dispatch, schedule = flow.triggers
    assert call.inputs == (Input("s", "string", "d", True), Input("n", "number", default=5))
    assert (call.secrets, call.outputs) == ({"k": True, "l": False}, {"o": "${{ jobs.a.outputs.o }}"})
    assert dispatch.inputs == (
        Input("c", "choice", default="b", options=("1", "b")),
        Input("plain", "string"),
    )
    assert schedule.schedules == (("0 0 * * *", "Europe/Berlin"), ("0 1 * * *", "UTC"))


@pytest.mark.parametrize(
    ("on", "problems"),
    [
        ("nothing", ["1:5: Unexpected value 'nothing'"]),
        ("{push: {type: x}}", ["1:13: Unexpected value 'type'"]),
        ("{create: {branches: x}}", ["1:14: A mapping was not expected"]),
        ("{issues: {types: [opened, done]}}", ["1:31: Unexpected value 'done'"]),
        ("{schedule: [{cron: 0 0 * *}]}", ["1:24: Invalid cron expression. Expected format: '* * * * *' (minute hour day month weekday)"]),
        ("{schedule: [{timezone: UTC}]}", ["1:17: Required property is missing: cron"]),
        ("{schedule: }", ["1:16: Unexpected value ''"]),
        ("{workflow_dispatch: {inputs: {a: {type: choice}}}}", ["1:38: Missing 'options' for choice input"]),
        ("{workflow_dispatch: {inputs: {a: {options: [b]}}}}", ["1:38: Input type is not 'choice', but 'options' is defined"]),
        ("{workflow_dispatch: {inputs: {a: {type: boolean, default: 'true'}}}}", ["1:63: The default of a boolean input must be true or false"]),
        ("{workflow_dispatch: {inputs: {a: {type: boolean, default: \"${{ 'x' }}\"}}}}", ["1:63: The default of a boolean input must be true or false"]),
        ("{workflow_call: {inputs: {a: {type: boolean, default: '${{ vars.x }}'}}}}", []),
        ("{workflow_call: {inputs: {a: {type: boolean, default: '${{ x'}}}}", [("1:59: The expression is not closed. An unescaped ${{ "
            "sequence was found, but the closing }} sequence was not found.")]),
        ("{workflow_call: {inputs: {a: {}}}}", ["1:34: Required property is missing: type"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_trigger_is_said_at_its_place(on, problems):
    assert complaints(f"on: {on}\njobs: {{a: {{runs-on: x}}}}\n") == problems


def test_more_than_25_inputs_are_too_many():
    inputs = ", ".join(f"i{number}: {{}}" for number in range(26))
    (problem,) = complaints(
        f"on: {{workflow_dispatch: {{inputs: {{{inputs}}}}}}}\njobs: {{a: {{runs-on: x}}}}\n"
    )
    assert "up to 25 `inputs`" in problem


@pytest.mark.parametrize(
    ("written", "default"), [("'5'", 5), ("''", ""), ("many", "many"), ("1.5", 1.5), ("true", True)]
)
def test_the_default_of_a_number_is_a_number_where_it_can_be(written, default):
    on = f"{{workflow_dispatch: {{inputs: {{a: {{type: number, default: {written}}}}}}}}}"
    (trigger,) = load(f"on: {on}\njobs: {{a: {{runs-on: x}}}}\n").triggers
    assert trigger.inputs[0].default == default


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("{push: {branches: [a], branches-ignore: [b]}}", "should not stand together"),
        ("{push: {paths: ['a[']}}", "the pattern 'a[' has a `[` that is never closed"),
        ("{schedule: [{cron: '* * * * *'}]}", "more than one start in 5 minutes"),
        ("{workflow_call: {inputs: {a: {type: number, default: x}}}}", "should be a number"),
        ("{workflow_dispatch: {inputs: {a: {type: number, default: true}}}}", "should be a number"),
        ("{workflow_dispatch: {inputs: {v: {default: 3.10}}}}", "the default is read as the text '3.1'"),
        (
            "{workflow_dispatch: {inputs: {v: {type: choice, options: [a], default: b}}}}",
            "is not one of the options",
        ),
    ],
)
def test_what_is_odd_about_a_trigger_is_a_warning(on, words):
    text = f"on: {on}\njobs: {{a: {{runs-on: x}}}}\n"
    assert complaints(text) == []
    assert words in " ".join(complaints(text, Severity.WARNING))


# --- what is wrong with jobs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ("steps: []", ["4:5: Required property is missing: runs-on"]),
        ("name: x", [("4:5: There's not enough info to determine what you meant. Add one of these properties: "
                     "apps, brings, cancel-timeout-minutes, checkpoints, container, continue-on-error, defaults, env, environment, interruptible, keeps, nodes, outputs, priority, "
                     "resources, retry, runs-on, secrets, services, snapshot, steps, timeout-minutes, uses, with")]),
        ("runs-on: x\n    priority: 101", ["5:15: expected a whole number from -100 to 100, found 101"]),
        ("runs-on: x\n    nodes: 0", ["5:12: expected a whole number from 1 to 1000, found 0"]),
        ("runs-on: x\n    nodes: ${{ matrix.n }}", []),
        ("runs-on: x\n    resources: {gpus: 1.5}", ["5:23: expected a whole number from 0 to 10000, found 1.5"]),
        ("runs-on: x\n    resources: {memory: '64'}", ["5:25: the size '64' has no unit"]),
        ("runs-on: x\n    resources: {gpus: {memory: big}}", ["5:32: 'big' is not a size"]),
        ("runs-on: x\n    resources: {gpus: {mig: MIG-1g.10gb+me, count: 2}}", []),
        ("runs-on: x\n    resources: {gpus: {mig: big}}", ["5:29: 'big' is not a MIG profile"]),
        ("runs-on: x\n    resources: {gpus: {memory: 10GB, share: true}}", []),
        (
            "runs-on: x\n    resources: {gpus: {share: true}}",
            ["5:31: 'share' is for who says how much of each GPU is its own"],
        ),
        ("runs-on: x\n    resources: {gpus: {model: [h100, a100], count: 2, memory: 80GB}, cpus: 0.5}", []),
        ("runs-on: x\n    uses: ./a.yml", ["5:5: Unexpected value 'uses'"]),
        ("runs-on: ''", ["4:14: Unexpected value ''"]),
        ("runs-on: x\n    RUNS-ON: y", ["5:5: 'RUNS-ON' is already defined"]),
        ("runs-on: {group: a/b}", [("4:22: Invalid runs-on group name 'a/b'. Please use 'organization/' or 'enterprise/' prefix "
                                   "to target a single runner group.")]),
        ("runs-on: {group: org/a/b}", [("4:22: Invalid runs-on group name 'org/a/b'. Please use 'organization/' or "
                                       "'enterprise/' prefix to target a single runner group.")]),
        ("runs-on: {group: org/}", ["4:22: Invalid runs-on group name 'org/'."]),
        ("runs-on: {group: '${{ matrix.g }}/x/y'}", []),
        ("runs-on: {group: plain}", []),
        ("runs-on: x\n    timeout-minutes: '5'", ["5:22: Unexpected value '5'"]),
        ("runs-on: x\n    continue-on-error: yes", ["5:24: Unexpected value 'yes'"]),
        ("runs-on: x\n    container: {options: a}", ["5:16: Container image cannot be empty"]),
        ("runs-on: x\n    container: docker://", ["5:16: Container image cannot be empty"]),
        ("runs-on: x\n    container: ''", []),
        ("runs-on: x\n    container: {options: '${{ matrix.o }}'}", []),
        ("runs-on: x\n    services: {a: docker://}", ["5:19: Container image cannot be empty"]),
        ("runs-on: x\n    services: ${{ fromJSON('{}') }}", []),
        ("runs-on: x\n    snapshot: {image-name: a, version: 2.1}", ["5:15: Expected format '{major-version}.*' Actual '2.1'"]),
        ("runs-on: x\n    snapshot: {image-name: a, version: 2.*}", []),
        ("runs-on: x\n    concurrency: {group: a, cancel-in-progress: true, queue: max}",
         ["5:62: 'queue: max' cannot be combined with 'cancel-in-progress: true'"]),
        (f"runs-on: x\n    concurrency: {'g' * 401}", ["5:18: Concurrency group name must be less than 400 characters"]),
        ("runs-on: x\n    concurrency: {'${{ github.x }}': a, group: b}", ["5:19: Unexpected value '${{ github.x }}'"]),
        ("runs-on: x\n    strategy: {matrix: {a: []}}", ["5:28: Matrix vector 'a' does not contain any values"]),
        ("runs-on: x\n    strategy: {matrix: {include: []}}", ["5:24: Matrix must define at least one vector"]),
        ("runs-on: x\n    strategy: {matrix: {a: [1], exclude: [{b: 1}]}}",
         ["5:44: Matrix exclude key 'b' does not match any key within the matrix"]),
        ("runs-on: x\n    strategy: {matrix: {a: [1], exclude: [{}], include: [{}]}}",
         ["5:43: Matrix exclude filter must not be empty", "5:58: Matrix include mapping does not contain any values"]),
        ("runs-on: x\n    strategy: {matrix: {a: ['${{ vars.x }}'], exclude: [{b: 1}]}}", []),
        ("runs-on: x\n    strategy: {matrix: {'${{ vars.x }}': [1]}}", []),
        (f"runs-on: x\n    strategy: {{matrix: {{a: {list(range(17))}, b: {list(range(16))}}}}}",
         ["5:28: The matrix makes 272 jobs; 256 are the most"]),
        ("runs-on: x\n    strategy: ${{ vars.x", [("5:15: The expression is not closed. An unescaped ${{ sequence was found, but the "
            "closing }} sequence was not found.")]),
        ("runs-on: x\n    env: {'a${{ vars.x }}': b}", []),
        ("uses: nowhere", ["4:11: invalid value workflow reference: 'nowhere'"]),
        ("if: ${{ }}\n    runs-on: x", ["4:9: An expression was expected"]),
        ("if: matrix.a\n    runs-on: x", ["4:9: Unrecognized named-value: 'matrix'. Located at position 1 within expression: matrix.a"]),
        ("if: ${{ 'steps.a' }}\n    runs-on: x", ["4:9: Unrecognized named-value: 'steps'. Located at position 1 within expression: steps.a"]),
        ("permissions: {contents: admin}\n    runs-on: x", ["4:29: Unexpected value 'admin'"]),
        ("permissions: {id-token: read}\n    runs-on: x", ["4:29: Unexpected value 'read'"]),
        ("needs: [b, a]\n    runs-on: x", ["3:3: The workflow must contain at least one job with no dependencies.", "4:13: Job 'a' depends on unknown job 'b'."]),
        ("runs-on: x\n  b: 5", ["5:6: Unexpected value '5'"]),
        ("runs-on: x\n  c: {needs: d, runs-on: x}", ["5:14: Job 'c' depends on unknown job 'd'."]),
        ("runs-on: x\n  9: {runs-on: x}", [("5:3: The identifier '9' is invalid. IDs may only contain alphanumeric characters, "
            "'_', and '-'. IDs must start with a letter or '_' and and must be less than 100 characters.")]),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_with_a_job_is_said_at_its_place(body, problems):
    assert job_complaints(body) == problems


@pytest.mark.parametrize(
    ("steps", "problems"),
    [
        ("      - runs: x", ["6:9: Unexpected value 'runs'", ("6:9: There's not enough info to determine what you meant. Add one "
            "of these properties: cancel, parallel, run, shell, uses, wait, wait-all, with, working-directory")]),
        ("      - {run: a, uses: b}", ["6:18: Unexpected value 'uses'"]),
        ("      - {run: a, id: 9}", [("6:22: The identifier '9' is invalid. IDs may only contain alphanumeric characters, '_', and "
            "'-'. IDs must start with a letter or '_' and and must be less than 100 characters.")]),
        ("      - {run: a, id: b}\n      - {run: a, id: B}", [("7:22: The identifier 'B' may not be used more than once within the "
                                                              "same scope.")]),
        ("      - uses: actions/checkout", ["6:15: Expected format {org}/{repo}[/path]@ref. Actual 'actions/checkout'"]),
        ("      - uses: checkout@v4", ["6:15: Expected format {org}/{repo}[/path]@ref. Actual 'checkout@v4'"]),
        ("      - uses: a/b@", ["6:15: Expected format {org}/{repo}[/path]@ref. Actual 'a/b@'"]),
        ("      - uses: https://host/a/b@v1", []),
        ("      - uses: https://host/a@v1", ["6:15: Expected format {org}/{repo}[/path]@ref. Actual 'https://host/a@v1'"]),
        ("      - uses: a/b/c/d@v1", []),
        ("      - uses: docker://a:b", []),
        ("      - uses: ${{ env.A }}", ["6:15: A template expression is not allowed in this context"]),
        ("      - wait: nobody", ["6:15: Step references unknown step ID 'nobody'"]),
        ("      - {wait: __run}", ["6:16: The identifier '__run' is invalid. IDs starting with '__' are reserved."]),
        ("      - {id: w, wait: w}", ["6:23: Step 'w' cannot reference itself"]),
        ("      - {cancel: later}\n      - {id: later, run: a}", ["6:18: Step references unknown step ID 'later'"]),
        ("      - {id: w, wait-all: }\n      - {cancel: w}", []),
        ("      - wait-all: false", ["6:19: The value of 'wait-all' must be true or omitted"]),
        ("      - {wait-all: , if: x}", ["6:22: Unexpected value 'if'"]),
        ("      - parallel: [{wait-all: }]", ["6:9: 'wait-all' is not allowed inside a parallel block."]),
        ("      - parallel: [{parallel: []}]", ["6:9: Nested 'parallel' blocks are not allowed."]),
        ("      - parallel: [{run: a, background: true}]", [("6:9: 'background' is not allowed inside a parallel block. Steps in a "
            "parallel block are automatically run as background steps.")]),
        ("      - parallel: nothing", ["6:19: Unexpected value 'nothing'"]),
        ("      - {run: a, if: 'success(1)'}", [("6:22: Too many parameters supplied: 'success'. Located at position 1 within "
                                                 "expression: success(1)")]),
        ("      - {run: a, if: secrets.x}", [("6:22: Unrecognized named-value: 'secrets'. Located at position 1 within expression: "
                                             "secrets.x")]),
        ("      - {run: '${{ github.a'}", [("6:15: The expression is not closed. An unescaped ${{ sequence was found, but the closing "
                                           "}} sequence was not found.")]),
        ("      - {run: '${{ insert }}'}", ["6:15: Unexpected value '${{ insert }}'"]),
        ("      - {run: 'a ${{ insert }}'}", [("6:15: The directive 'insert' is not allowed in this context. Directives are not "
            "supported for expressions that are embedded within a string. Directives are only supported when the entire value is "
            "an expression.")]),
        ("      - {run: '${{ insert x }}'}", [("6:15: Exactly 0 parameter(s) were expected following the directive 'insert'. Actual "
                                              "parameter count: 1")]),
        ("      - {run: a, env: {'${{ insert }}': '${{ matrix }}'}}", []),
        ("      - {run: a, env: {'${{ github.a }}': b, '${{ x.y }}': c}}",
         ["6:46: Unrecognized named-value: 'x'. Located at position 1 within expression: x.y"]),
        ("      - {run: a, env: {'${{ github.a': b}}", [("6:24: The expression is not closed. An unescaped ${{ sequence was found, "
                                                         "but the closing }} sequence was not found.")]),
        ("      - {'${{ insert }}': {}, run: a}", ["6:10: A template expression is not allowed in this context"]),
        ("      - {run: a, env: {'': b}}", ["6:24: Unexpected value ''"]),
        ("      - {run: a, shell: \"${{ '' }}\"}", ["6:25: Unexpected value ''"]),
        ("      - {run: \"${{ 'a' }}\", shell: \"${{ 'sh' }}\"}", []),
        ("      - [run]", ["6:9: A sequence was not expected"]),
        ("      - run", ["6:9: Unexpected value 'run'"]),
        ("      - {run: {a: b}}", ["6:15: A mapping was not expected"]),
        ("      - {run: a, <<: {b: c}}", ["6:18: Unexpected value '<<'"]),
        (f"      - {{run: '{'x' * 21000} ${{{{ github.a }}}}'}}", ["6:15: Exceeded max expression length 21000"]),
        (f"      - {{run: '{'x' * 22000}'}}", []),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else "",
)  # fmt: skip
def test_what_is_wrong_with_a_step_is_said_at_its_place(steps, problems):
    assert step_complaints(steps) == problems


def test_all_problems_come_in_one_pass_in_the_files_order_each_once():
    text = "name: [a]\non: pus\nenvs: {}\njobs:\n  a:\n    run-on: x\n    steps:\n      - run: ${{ x }} ${{ x }}\n  b: {}\n"
    found = check_flow(text, "f.yml")
    assert [(p.position.line, p.position.column) for p in found] == [(1, 7), (2, 5), (3, 1), (6, 5), (6, 5), (8, 14), (9, 6)]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("on: push\njobs: {a: {run-on: x}}", "did you mean `runs-on`?"),
        ("on: push\njobs: {a: {runs_on: x}}", "did you mean `runs-on`?"),
        ("on: pull-request\njobs: {a: {runs-on: x}}", "did you mean `pull_request`?"),
        ("on: {push: {zzz: 1}}\njobs: {a: {runs-on: x}}", "known here: branches, branches-ignore, tags"),
        (
            "on: push\njobs: {a: {runs-on: x, continue-on-error: 'true'}}",
            "write true or false, without quotes",
        ),
        ("on: push\njobs: {a: {runs-on: x, timeout-minutes: '5'}}", "write a number, without quotes"),
        (
            "on: push\njobs: {a: {runs-on: x, concurrency: {group: a, queue: sinlge}}}",
            "did you mean `single`?",
        ),
        ("on: push\njobs: {a: {runs-on: x, concurrency: {group: a, queue: q}}}", "one of single, max"),
        ("on: push\njobs: {a: {runs-on: }}", "a value is missing: expected text or a list or a mapping"),
        (
            "on: push\njobs: {a: {runs-on: '${{ env.a }}'}}",
            "available here: github, inputs, vars, needs, strategy, matrix",
        ),
        ("on: push\njobs: {a: {runs-on: x, steps: [{uses: a/b}]}}", "name a version, such as `@v4`"),
    ],
)
def test_a_hint_says_what_to_do(text, hint):
    assert hint in " ".join(problem.hint for problem in check_flow(text, "f.yml"))
