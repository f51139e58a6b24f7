"""A job is handed the secrets that it names, and no others."""

from support.flows import Run, calling, flow_of, request

from agent.plan import GateSet
from agent.plan.secret_names import named_secrets

KNOWN = ("A", "B_TOKEN", "C")


def used(step: str) -> tuple[str, ...]:
    return Run(flow_of(f"a: {{runs-on: x, steps: [{step}]}}"), request(secrets=KNOWN)).spec("a").secrets


def test_a_secret_is_found_wherever_a_step_can_name_it() -> None:
    assert used("{run: 'echo ${{ secrets.A }}'}") == ("A",)
    assert used("{run: x, env: {K: \"${{ secrets['b_token'] }}\"}}") == ("B_TOKEN",)
    assert used("{uses: o/r@v1, with: {token: '${{ format(''{0}'', secrets.C) }}'}}") == ("C",)
    assert used("{run: 'echo secrets.A'}") == (), "not in an expression"


def test_a_use_that_only_the_run_decides_reaches_all() -> None:
    assert used('{run: "${{ toJSON(secrets) }}"}') == KNOWN
    assert used('{run: "${{ secrets[matrix.key] }}"}') == KNOWN


def test_the_names_of_a_flow_come_with_a_place() -> None:
    flow = flow_of("a: {runs-on: x, steps: [{run: '${{ secrets.A }} ${{ secrets.GITHUB_TOKEN }}'}]}")
    assert named_secrets(flow) == {"A": "test.yml:3:3"}


CALLED = """
    on: {workflow_call: {secrets: {inner: {required: false}}}}
    jobs:
      deploy: {runs-on: x, environment: prod, steps: [{run: 'echo ${{ secrets.inner }}'}]}
"""


def test_what_only_the_environment_of_a_called_job_has_reaches_it_by_the_callers_name() -> None:
    flow = calling(
        """
        on: push
        jobs:
          call: {uses: ./inner.yml, secrets: {inner: "${{ secrets.KEY }}"}}
        """,
        inner=CALLED,
    )
    run = Run(flow, request(secrets=KNOWN))
    run.handle(GateSet(run.id("call / deploy")))
    spec = run.spec("call / deploy")
    assert spec.secrets == ("KEY",)
    assert [caller.secrets for caller in spec.callers] == [{"inner": "${{ secrets.KEY }}"}]
    assert named_secrets(flow) == {}, "the environment may have it"


def test_a_job_knows_which_of_its_secrets_nobody_has_set() -> None:
    run = Run(
        flow_of(
            """
            a: {runs-on: x, steps: [{run: '${{ secrets.a }} ${{ secrets.NONE }} ${{ secrets.GITHUB_TOKEN }}'}]}
            b: {runs-on: x, environment: e, steps: [{run: '${{ secrets.NONE }}'}]}
            """
        ),
        request(secrets=KNOWN),
    )
    assert run.spec("a").unset_secrets == ("NONE",)
    run.handle(GateSet(run.id("b")))
    assert run.spec("b").unset_secrets == (), "its environment may have it"
