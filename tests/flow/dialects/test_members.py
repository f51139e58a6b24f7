"""Names that expressions of a flow read and that cannot be there: each is a warning, and nothing else is one."""

import pytest
from support.flows import check_flow

from agent.flow.load import load_flow
from agent.flow.problems import Severity


def warnings(text):
    problems = check_flow(text, "f.yml")
    assert [str(p) for p in problems if p.severity is Severity.ERROR] == []
    return [p.message.partition(":")[0].removesuffix(" is always empty").strip("`") for p in problems]


def in_step(expression, *, job="", on="push"):
    """The names that are missing where a job's only step reads `expression`."""
    return warnings(
        f"on: {on}\njobs:\n  before: {{runs-on: x, outputs: {{sum: a}}, steps: [{{run: a}}]}}\n"
        f"  other: {{runs-on: x, steps: [{{run: a}}]}}\n"
        f'  a:\n    needs: before\n    runs-on: x\n{job}    steps:\n      - run: "${{{{ {expression} }}}}"\n'
    )


def test_a_warning_has_its_place_its_words_and_a_hint_and_the_flow_stays_valid():
    text = "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo ${{ github.shaa }}\n"
    flow, found = load_flow(text, "f.yml")
    assert list(flow.jobs) == ["a"]
    (problem,) = found
    assert problem.severity is Severity.WARNING
    assert (
        str(problem) == "f.yml:6:14: `github.shaa` is always empty: the context `github` has no such member; "
        "did you mean `github.sha`?"
    )


@pytest.mark.parametrize(
    ("expression", "missing"),
    [
        ("github.shaa", "github.shaa"), ("GITHUB['SHA']", None), ("github.event.any.thing", None),
        ("runner.osx", "runner.osx"), ("job.statuss", "job.statuss"), ("strategy.x", "strategy.x"),
        ("env.nope", None), ("vars.nope", None), ("secrets.nope", None), ("toJSON(github)", None),
        ("github[env.NAME]", None), ("github.*.id", None), ("inputs.nope", "inputs.nope"),
        ("needs.before.result", None), ("needs.tets.result", "needs.tets"), ("needs.other.result", "needs.other"),
        ("needs.before.outputs.sum", None), ("needs.before.outputs.nope", "needs.before.outputs.nope"),
        ("needs.before.results", "needs.before.results"), ("needs.*.result", None), ("NEEDS.Before.OUTPUTS.Sum", None),
        ("matrix.os", "matrix.os"), ("job.services.db.id", "job.services.db"), ("job.container.id", None),
        ("contains(needs.*.result, github.shaa)", "github.shaa"), ("github.repository_visibility", None),
    ],
)  # fmt: skip
def test_a_step_reads_only_what_is_there(expression, missing):
    assert in_step(expression) == ([missing] if missing else [])


def test_a_job_that_exists_and_is_not_needed_can_be_added():
    (problem,) = check_flow(
        "on: push\njobs:\n  a: {runs-on: x, steps: [{run: a}]}\n"
        "  b: {runs-on: x, if: needs.a.result == 'success', steps: [{run: a}]}\n",
        "f.yml",
    )
    assert (problem.position.line, problem.position.column) == (4, 23)
    assert problem.hint == "add `a` to its `needs`"


@pytest.mark.parametrize(
    ("strategy", "expression", "missing"),
    [
        ("{matrix: {os: [a]}}", "matrix.osx", "matrix.osx"), ("{matrix: {os: [a]}}", "matrix['OS']", None),
        ("{matrix: {os: [a], include: [{os: a, py: 1}]}}", "matrix.py", None),
        ("{matrix: {include: [{py: 1}]}}", "matrix.pyy", "matrix.pyy"),
        ("{matrix: {os: [a], exclude: [{os: a}], include: []}}", "matrix.exclude", "matrix.exclude"),
        ("{matrix: '${{ fromJSON(vars.m) }}'}", "matrix.any", None), ("'${{ fromJSON(vars.m) }}'", "matrix.any", None),
        ("{matrix: {os: [a], include: '${{ fromJSON(vars.m) }}'}}", "matrix.any", None),
        ("{matrix: {os: [a], include: ['${{ fromJSON(vars.m) }}']}}", "matrix.any", None),
        ("{matrix: {os: [a], '${{ insert }}': '${{ fromJSON(vars.m) }}'}}", "matrix.any", None),
        ("{'${{ insert }}': '${{ fromJSON(vars.m) }}'}", "matrix.any", None),
        ("{matrix: {os: '${{ fromJSON(vars.m) }}'}}", "matrix.os.any", None), ("{fail-fast: true}", "matrix.os", "matrix.os"),
        ("{matrix: {gpu: [{name: a, memory: 1}]}}", "matrix.gpu.memroy", "matrix.gpu.memroy"),
        ("{matrix: {gpu: [{name: a, memory: 1}]}}", "matrix.gpu.spare", None),
        ("{matrix: {gpu: [{name: a}, b]}}", "matrix.gpu.nam", None),
    ],
)  # fmt: skip
def test_a_matrix_has_the_keys_of_its_vectors_and_of_include(strategy, expression, missing):
    assert in_step(expression, job=f"    strategy: {strategy}\n") == ([missing] if missing else [])


@pytest.mark.parametrize(
    ("services", "expression", "missing"),
    [
        ("{db: {image: x}}", "job.services.db.ports['5432']", None), ("{db: x}", "job.services.db.port", "job.services.db.port"),
        ("{db: x}", "job.services.cache.id", "job.services.cache"), ("'${{ fromJSON(vars.s) }}'", "job.services.any.id", None),
    ],
)  # fmt: skip
def test_services_are_those_of_the_job(services, expression, missing):
    assert in_step(expression, job=f"    services: {services}\n") == ([missing] if missing else [])


DISPATCH = "{workflow_dispatch: {inputs: {level: {type: string}}}"


@pytest.mark.parametrize(
    ("on", "expression", "missing"),
    [
        (DISPATCH + "}", "inputs.level", None), (DISPATCH + "}", "inputs.LEVLE", "inputs.LEVLE"),
        (DISPATCH + "}", "github.event.inputs.levle", "github.event.inputs.levle"),
        (DISPATCH + "}", "github.event.inputs.level", None), (DISPATCH + "}", "github.event.sender.login", None),
        (DISPATCH + "}", "github.event.pull_request.number", "github.event.pull_request"),
        (DISPATCH + ", push: }", "github.event.pull_request.number", None),
        (DISPATCH + ", push: }", "github.event.inputs.levle", "github.event.inputs.levle"),
        (DISPATCH + ", workflow_call: {inputs: {more: {type: string}}}}", "inputs.more", None),
        (DISPATCH + ", workflow_call: }", "github.event.inputs.levle", None),
        ("workflow_dispatch", "inputs.x", "inputs.x"), ("[workflow_dispatch]", "github.event.number", "github.event.number"),
    ],
)  # fmt: skip
def test_inputs_are_those_that_the_triggers_declare(on, expression, missing):
    assert in_step(expression, on=on) == ([missing] if missing else [])


def job_with(steps, *, keys=""):
    return warnings(f"on: push\njobs:\n  a:\n    runs-on: x\n{keys}    steps:\n{steps}")


@pytest.mark.parametrize(
    ("steps", "missing"),
    [
        ("      - {id: one, run: a}\n      - run: '${{ steps.one.outputs.any }} ${{ steps.ONE.outcome }}'\n", []),
        ("      - {id: one, run: a}\n      - run: '${{ steps.noe.outputs.any }}'\n", ["steps.noe"]),
        ("      - {id: one, run: a}\n      - run: '${{ steps.one.output }}'\n", ["steps.one.output"]),
        ("      - run: '${{ steps.one.outcome }}'\n      - {id: one, run: a}\n", ["steps.one"]),
        ("      - {id: one, run: a, env: {A: '${{ steps.one.outcome }}'}}\n", ["steps.one"]),
        ("      - {id: one, run: a, continue-on-error: \"${{ steps.one.outputs.x == '1' }}\"}\n", []),
        ("      - {uses: a/b@v1}\n      - {if: steps.__a_b.outcome == 'success', run: a}\n", ["steps.__a_b"]),
        ("      - {id: one, uses: a/b@v1}\n      - {if: always() && steps.one.outputs.x, run: a}\n", []),
        ("      - {id: one, uses: 'docker://x'}\n      - {run: '${{ steps.one.outputs.x }}'}\n", []),
        ("      - parallel: [{id: one, run: a}, {run: '${{ steps.one.outcome }}'}]\n      - run: '${{ steps.one.outcome }}'\n", []),
        ("      - {run: '${{ steps.one.outcome }}'}\n      - parallel: [{id: one, run: a}]\n", ["steps.one"]),
        ("      - {id: one, background: true, run: a}\n      - {id: done, wait: one}\n      - run: '${{ steps.done.outcome }}'\n", []),
    ],
)  # fmt: skip
def test_a_step_sees_the_steps_above_it(steps, missing):
    assert job_with(steps) == missing


def test_a_jobs_own_keys_see_all_its_steps():
    keys = "    outputs: {x: '${{ steps.one.outputs.x }}', y: '${{ steps.two.outputs.y }}'}\n"
    assert job_with("      - {id: one, run: a}\n", keys=keys) == ["steps.two"]


def test_conditions_are_read_with_and_without_braces():
    steps = "      - {if: github.shaa, run: a}\n      - {if: '${{ github.shaa2 }}', run: a}\n"
    assert job_with(steps, keys="    if: github.shaa3\n") == ["github.shaa3", "github.shaa", "github.shaa2"]


def test_keys_of_mappings_and_inserted_mappings_are_read_too():
    steps = "      - {run: a, env: {'${{ github.shaa }}': b, '${{ insert }}': '${{ fromJSON(needs.x) }}'}}\n"
    assert job_with(steps) == ["github.shaa", "needs.x"]


def test_the_flows_own_keys_are_read():
    text = (
        "on:\n  workflow_call:\n    inputs: {a: {type: string, default: '${{ github.shaa }}'}}\n"
        "    outputs:\n      x: {value: '${{ jobs.a.outputs.sum }} ${{ jobs.b.result }} ${{ jobs.a.outputs.smu }}'}\n"
        "run-name: ${{ inputs.b }}\nenv: {A: '${{ github.shb }}'}\n"
        "jobs: {a: {runs-on: x, outputs: {sum: a}, steps: [{run: a}]}}\n"
    )
    assert warnings(text) == [
        "github.shaa",
        "jobs.b",
        "jobs.a.outputs.smu",
        "inputs.b",
        "github.shb",
    ]


def test_steps_behind_one_alias_are_judged_in_each_job():
    text = (
        "on: push\njobs:\n  a:\n    strategy: {matrix: {os: [x]}}\n    runs-on: x\n"
        "    steps: &steps [{run: '${{ matrix.os }}'}]\n  b: {runs-on: x, steps: *steps}\n"
    )
    assert warnings(text) == ["matrix.os"]


def test_what_other_files_declare_is_left_to_who_has_them():
    text = (
        "on: push\njobs:\n  c: {uses: ./c.yml}\n  d:\n    needs: c\n    runs-on: x\n    steps:\n"
        "      - {id: here, uses: ./act}\n"
        "      - run: ${{ steps.here.outputs.x }} ${{ needs.c.outputs.y }} ${{ steps.here.outputs.x }}\n"
    )
    flow, found = load_flow(text, "f.yml")
    assert found == ()
    assert [(read.shown, read.uses, read.is_call) for read in flow.outputs_read] == [
        ("steps.here.outputs.x", "./act", False),
        ("needs.c.outputs.y", "./c.yml", True),
    ]


def test_where_another_repository_is_checked_out_its_actions_are_unknown():
    text = (
        "on: push\njobs:\n  d:\n    runs-on: x\n    steps:\n"
        "      - {uses: actions/checkout@v4, with: {repository: acme/other}}\n"
        "      - {id: here, uses: ./act}\n      - {id: own, uses: $/act}\n"
        "      - run: ${{ steps.here.outputs.x }} ${{ steps.own.outputs.x }}\n"
    )
    assert [read.shown for read in load_flow(text, "f.yml").flow.outputs_read] == ["steps.own.outputs.x"]


def test_an_unknown_need_is_said_once():
    problems = check_flow(
        "on: push\njobs:\n  a: {runs-on: x, steps: [{run: a}]}\n"
        "  b: {needs: [a, c], runs-on: x, if: needs.c.result == 'success', steps: [{run: a}]}\n",
        "f.yml",
    )
    assert [p.message for p in problems] == ["Job 'b' depends on unknown job 'c'."]
