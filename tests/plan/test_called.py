"""Jobs that call flows."""

import pytest
from support.flows import Run, calling, request

from agent.flow.called import load_called
from agent.flow.load import load_flow
from agent.flow.problems import InvalidFlowError
from agent.flow.references import refer
from agent.plan import JobFinished, JobStarted, refused
from agent.plan.expand import MAX_JOBS
from agent.spec.outcome import Conclusion

INNER = """
on:
  workflow_call:
    inputs:
      speed: {type: number, default: 3}
      word: {type: string, required: true}
    outputs:
      made: {value: "${{ jobs.make.outputs.x }}-${{ jobs.check.result }}"}
jobs:
  make:
    name: Make ${{ inputs.word }}
    runs-on: x
    steps: [{run: "echo ${{ secrets.KEY }}"}]
  check: {needs: make, runs-on: x, steps: [{run: 'true'}]}
"""
CALLER = """
on: push
jobs:
  build:
    uses: ./inner.yml
    with: {word: "w-${{ github.event_name }}"}
  after:
    needs: build
    name: after ${{ needs.build.outputs.made }}
    runs-on: x
    steps: [{run: 'true'}]
"""


def test_a_called_flow_runs_in_its_callers_place_and_hands_its_outputs_up() -> None:
    run = Run(
        calling(CALLER, inner=INNER), request(github={"event_name": "push", "sha": "c1", "repository": "o/r"})
    )
    assert run.queued() == ["build / make"]
    spec = run.spec("build / make")
    assert spec.name == "build / Make w-push"
    assert spec.contexts["inputs"] == {"speed": 3, "word": "w-push"}
    assert spec.contexts["github"]["job"] == "make"
    assert spec.contexts["job"]["workflow_file_path"] == "inner.yml"
    run.finish("build / make", x="1")
    run.finish("build / check")
    assert run.spec("after").name == "after 1-success"
    assert run.spec("after").contexts["needs"]["build"] == {
        "result": "success",
        "outputs": {"made": "1-success"},
    }
    run.finish("after")
    assert run.conclusion() == "success"


def test_a_failure_in_a_called_flow_fails_the_caller_and_skips_what_needs_it() -> None:
    run = Run(calling(CALLER, inner=INNER))
    run.finish("build / make", "failure")
    assert run.results() == {
        "build": "failure",
        "build / make": "failure",
        "build / check": "skipped",
        "after": "skipped",
    }
    assert run.conclusion() == "failure"


def test_a_matrix_over_a_call_opens_one_scope_a_cell() -> None:
    run = Run(
        calling(
            """
            on: push
            jobs:
              build:
                strategy: {fail-fast: true, matrix: {w: [a, b]}}
                uses: ./inner.yml
                with: {word: "${{ matrix.w }}", speed: "${{ fromJSON('7') }}"}
            """,
            inner=INNER,
        )
    )
    assert run.queued() == ["build (a) / make", "build (b) / make"]
    assert run.spec("build (b) / make").contexts["inputs"] == {"speed": 7, "word": "b"}
    run.finish("build (a) / make", "failure")
    assert run.state.jobs["build (b) / make"].cancel_requested, "fail-fast reaches into the sibling's flow"
    run.finish("build (b) / make", "cancelled")
    assert run.results()["build (b) / check"] == "cancelled"
    assert run.conclusion() == "failure"


def test_jobs_of_a_called_flow_see_their_own_flow_and_no_needs_of_the_caller() -> None:
    run = Run(
        calling(
            """
            on: push
            jobs:
              first: {if: false, runs-on: x, steps: [{run: 'true'}]}
              second: {needs: first, if: always(), uses: ./inner.yml, with: {word: x}}
            """,
            inner=INNER,
        )
    )
    assert run.queued() == ["second / make"], "success() asks about the called flow's jobs"
    assert run.spec("second / make").contexts["needs"] == {}


def test_a_cancelled_run_cancels_called_jobs_but_those_that_run_always() -> None:
    inner = INNER.replace("needs: make, ", "needs: make, if: always(), ")
    run = Run(calling(CALLER, inner=inner))
    run.cancel()
    assert run.state.jobs["build / make"].cancel_requested
    run.finish("build / make", "cancelled")
    assert run.queued() == ["build / make", "build / check"]
    run.finish("build / check")
    assert run.conclusion() == "cancelled"


def test_a_caller_that_is_skipped_never_opens_its_flow() -> None:
    run = Run(calling(CALLER.replace("uses:", "if: false\n    uses:"), inner=INNER))
    assert run.results() == {"build": "skipped", "after": "skipped"}


@pytest.mark.parametrize(
    ("call", "secrets", "callers"),
    [
        ("", (), 1),
        ("secrets: inherit", ("KEY",), 0),
        ("secrets: {KEY: '${{ secrets.OTHER }}'}", ("OTHER",), 1),
    ],
)
def test_a_called_job_reaches_what_its_caller_hands_on(
    call: str, secrets: tuple[str, ...], callers: int
) -> None:
    inner = INNER.replace("    outputs:", "    secrets: {KEY: {}}\n    outputs:")
    flow = calling(CALLER.replace("with:", f"{call}\n    with:"), inner=inner)
    spec = Run(flow, request(secrets=("KEY", "OTHER"))).spec("build / make")
    assert (spec.secrets, len(spec.callers)) == (secrets, callers)


def test_permissions_of_the_caller_are_those_of_a_called_flow_that_says_nothing() -> None:
    run = Run(calling(CALLER.replace("on: push", "on: push\npermissions: {contents: read}"), inner=INNER))
    assert run.spec("build / make").permissions == {"contents": "read"}


DEEPEST = "on: workflow_call\n{}jobs: {{make: {{runs-on: x, steps: [{{run: a}}]}}}}\n"
MIDDLE = "on: workflow_call\n{}jobs: {{go: {{uses: ./deepest.yml}}}}\n"
OUTERMOST = "on: push\n{}jobs: {{build: {{uses: ./middle.yml}}}}\n"
PROVES = "permissions: {id-token: write, contents: read}\n"


@pytest.mark.parametrize(
    ("outermost", "middle", "granted"),
    [
        ("", "", {"id-token": "none", "contents": "read"}),  # who says nothing lets nobody prove what it is
        ("", PROVES, {"id-token": "none", "contents": "read"}),
        ("permissions: {contents: read}\n", "", {"id-token": "none", "contents": "read"}),
        ("permissions: {id-token: write}\n", "", {"id-token": "write", "contents": "none"}),
        (PROVES, PROVES, {"id-token": "write", "contents": "read"}),
    ],
)
def test_a_called_flow_never_has_more_than_the_flows_that_lead_to_it(
    outermost: str, middle: str, granted: dict[str, str]
) -> None:
    flow = calling(OUTERMOST.format(outermost), middle=MIDDLE.format(middle), deepest=DEEPEST.format(PROVES))
    assert Run(flow).spec("build / go / make").permissions == granted


def test_what_is_wrong_with_calls_is_said_before_anything_runs() -> None:
    with pytest.raises(InvalidFlowError) as caught:
        calling(
            """
            on: push
            permissions: {contents: read}
            jobs:
              a: {uses: ./inner.yml}
              b: {uses: ./nowhere.yml}
              c: {uses: ./inner.yml, with: {word: x, nope: 1}}
            """,
            inner=INNER + "\npermissions: {contents: write}\n",
        )
    assert [problem.message for problem in caught.value.problems] == [
        "Input word is required, but not provided while calling.",
        "Error calling workflow './inner.yml'. The workflow is requesting 'contents: write', but is only allowed 'contents: read'.",
        "the flow './nowhere.yml' was not found",
        "Invalid input, nope is not defined in the referenced workflow.",
        "Error calling workflow './inner.yml'. The workflow is requesting 'contents: write', but is only allowed 'contents: read'.",
    ]


def _chain(length: int) -> dict[str, str]:
    """Flows f1 .. fn, each calling the next; the last does something."""
    head = "on: workflow_call\njobs:\n"
    calls = {f"f{index}": f"{head}  c: {{uses: ./f{index + 1}.yml}}\n" for index in range(1, length)}
    return {**calls, f"f{length}": f"{head}  c: {{runs-on: x, steps: [{{run: 'true'}}]}}\n"}


def test_ten_flows_in_a_chain_are_the_most_and_a_circle_is_an_error() -> None:
    caller = "on: push\njobs: {a: {uses: ./f1.yml}}"
    assert Run(calling(caller, **_chain(9))).queued() == ["a" + " / c" * 9]
    with pytest.raises(InvalidFlowError, match="nested too deeply"):
        calling(caller, **_chain(10))
    circle = _chain(2) | {"f2": "on: workflow_call\njobs: {c: {uses: ./f1.yml}}"}
    with pytest.raises(InvalidFlowError, match=r"calls itself: \./f1\.yml -> \./f2\.yml -> \./f1\.yml"):
        calling(caller, **circle)


def test_many_chains_through_few_files_are_joined_in_no_time() -> None:
    wide = {
        f"f{index}": "on: workflow_call\njobs:\n"
        + "".join(f"  c{number}: {{uses: ./f{index + 1}.yml}}\n" for number in range(20))
        for index in range(1, 9)
    }
    leaf = "on: workflow_call\njobs: {c: {runs-on: x, steps: [{run: 'true'}]}}"
    run = Run(calling("on: push\njobs: {a: {uses: ./f1.yml}}", **wide, f9=leaf))
    assert len(run.state.nodes) <= MAX_JOBS
    assert run.conclusion() == "failure", "more jobs than a run may have"


def test_a_reference_in_a_flow_of_another_repository_is_a_file_of_that_repository() -> None:
    assert refer("./a.yml", "") == "./a.yml"
    assert refer("$/d/a.yml", "./b.yml") == "./d/a.yml"
    assert refer("./d/a.yml", "o/r/.github/workflows/b.yml@v1") == "o/r/d/a.yml@v1"
    assert refer("./a.yml", "https://git.lab/o/r/b.yml@main") == "https://git.lab/o/r//a.yml@main"
    assert refer("x/y/a.yml@v2", "o/r/b.yml@v1") == "x/y/a.yml@v2"


def test_each_called_file_is_read_once_with_those_that_it_calls() -> None:
    texts = {
        "./f1.yml": "on: workflow_call\njobs: {c: {uses: o/r/g.yml@v1}}",
        "o/r/g.yml@v1": "on: workflow_call\njobs: {c: {uses: ./h.yml}, d: {uses: ./h.yml}}",
        "o/r/h.yml@v1": "on: workflow_call\njobs: {c: {runs-on: x, steps: [{uses: $/act}]}}",
    }
    asked: list[str] = []

    def read(reference: str) -> str:
        asked.append(reference)
        return texts[reference]

    flow = load_flow("on: push\njobs: {a: {uses: ./f1.yml}, b: {uses: ./f1.yml}}", "test.yml").flow
    assert load_called(flow, read) == texts
    assert asked == list(texts)


def test_a_called_flow_of_another_repository_means_its_own_actions() -> None:
    from agent.flow.called import link_flow

    flow = load_flow("on: push\njobs: {a: {uses: o/r/h.yml@v1}}", "test.yml").flow
    text = "on: workflow_call\njobs: {c: {runs-on: x, steps: [{uses: $/act}, {uses: ./here}]}}"
    spec = Run(link_flow(flow, {"o/r/h.yml@v1": text})).spec("a / c")
    assert [step.uses for step in spec.steps] == ["o/r/act@v1", "./here"]
    assert spec.contexts["job"]["workflow_repository"] == "o/r"


def test_a_call_whose_inputs_cannot_be_evaluated_fails_without_beginning() -> None:
    run = Run(calling(CALLER.replace("w-${{ github.event_name }}", "${{ fromJSON('no') }}"), inner=INNER))
    assert run.results()["build"] == "failure"
    assert run.state.nodes.keys() == {"build", "after"}


def test_late_words_about_called_jobs_change_nothing() -> None:
    run = Run(calling(CALLER, inner=INNER))
    run.finish("build / make", "failure")
    before = run.state
    run.handle(JobStarted(run.id("build / make")))
    assert run.state == before
    assert run.state.conclusion is Conclusion.FAILURE


def test_a_call_whose_job_the_machine_cannot_run_is_skipped_with_the_reason() -> None:
    run = Run(calling(CALLER, inner=INNER), request(github={"event_name": "push", "repository": "o/r"}))
    run.handle(JobFinished(run.id("build / make"), refused("it is no Mac")))
    result = run.state.jobs["build"].result
    assert result is not None
    assert (result.conclusion, result.message) == (Conclusion.SKIPPED, "it is no Mac")
    assert run.results()["after"] == "skipped"
    assert run.conclusion() == "failure"
