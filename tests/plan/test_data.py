"""Steps that bring and keep a job's data stand around its own; sources that can be known are listed before a run begins."""

from textwrap import dedent

from support.flows import Run, calling, flow_of, request

from agent.plan import begin
from agent.plan.sources import list_sources
from agent.spec.data import BringKind
from agent.spec.job import JobSpec


def spec_of(jobs: str, job: str = "a") -> JobSpec:
    run = Run(flow_of(jobs), request())
    return run.spec(job)


def shape(spec: JobSpec) -> list[str]:
    return [step.id for step in spec.steps]


def test_a_job_without_data_has_its_own_steps_and_no_others() -> None:
    spec = spec_of("a: {runs-on: x, steps: [{run: ls}, {uses: actions/checkout@v4}]}")
    assert shape(spec) == ["__run", "__actions_checkout"]


def test_what_is_brought_comes_after_the_checkouts_that_the_job_begins_with() -> None:
    spec = spec_of(
        """
        a:
          runs-on: x
          brings: [{tag: t}]
          steps: [{uses: actions/checkout@v4}, {uses: https://git.example/me/checkout@v1}, {run: ls}, {uses: flow-agent/checkout@v1}]
        """
    )
    assert shape(spec)[2:4] == ["__bring", "__run"]
    assert spec.steps[2].uses == "flow-agent/bring@v1"


def test_what_is_live_is_kept_beside_the_steps_and_all_of_it_when_nobody_works_any_more() -> None:
    spec = spec_of(
        """
        a:
          runs-on: x
          keeps: [model, {path: log, live: true}]
          steps: [{id: late, run: ls, background: true}]
        """
    )
    assert shape(spec) == ["__keep_live", "late", "__end_keep_live", "__wait_for_background", "__keep"]
    live, end, keep = spec.steps[0], spec.steps[2], spec.steps[4]
    assert (live.background, live.condition) == (True, "success()")
    assert (end.targets, end.condition) == (("__keep_live",), "always()")
    assert keep.condition == "always()"


def test_only_what_outlives_a_failure_lets_the_keeping_step_run_after_one() -> None:
    assert spec_of("a: {runs-on: x, keeps: [m]}").steps[-1].condition == "success()"
    assert spec_of("a: {runs-on: x, keeps: [{path: m, always: true}]}").steps[-1].condition == "always()"


def test_a_folder_that_is_kept_is_made_before_the_steps() -> None:
    assert shape(spec_of("a: {runs-on: x, keeps: [m/]}"))[0] == "__bring"
    assert (
        shape(spec_of("a: {runs-on: x, keeps: [{path: /outputs/d, as: dataset, name: d}]}"))[0] == "__bring"
    )
    assert shape(spec_of("a: {runs-on: x, keeps: [{path: /outputs/t, as: text}]}")) == ["__keep"]


def test_a_job_of_a_called_flow_is_brought_what_its_neighbour_kept_and_no_other_job() -> None:
    flow = calling(
        """
        on: push
        jobs:
          call: {uses: ./one.yml}
        """,
        one="""
        on: workflow_call
        jobs:
          a: {runs-on: x, steps: [{run: ls}], keeps: [m]}
          b: {runs-on: x, needs: a, steps: [{run: ls}], brings: [{job: a}]}
        """,
    )
    run = Run(flow, request())
    run.finish("call / a")
    (bring,) = run.spec("call / b").brings
    assert (bring.kind, bring.of) == (BringKind.JOB, "call / a")


def test_listed_are_the_sources_that_must_be_there_when_the_run_begins() -> None:
    flow = flow_of(
        dedent("""
        a:
          runs-on: x
          brings: [{tag: best}, {last: t, flow: f}, {dataset: own}, {dataset: "made:1"}, {tag: maybe, optional: true}, {text: x, path: y}]
        b: {runs-on: x, if: "vars.x", brings: [{tag: conditional}]}
        c: {runs-on: x, needs: a, brings: [{tag: "${{ needs.a.outputs.x }}"}, {job: a}]}
        d: {runs-on: x, strategy: {matrix: {t: [x]}}, brings: [{tag: "${{ matrix.t }}"}, {tag: "by-${{ github.ref_name }}"}]}
        e: {runs-on: x, needs: c, keeps: [{path: m, as: dataset, name: "made:best"}]}
        """)
    )
    state, _ = begin(flow, request(github={"ref_name": "main"}), now=0.0)
    assert [bring.of for bring in list_sources(flow, state)] == ["best", "f", "own", "by-main"]
