"""A job of stages is planned as any other, and compiled to work that is stages."""

from support.flows import Run, request

from agent import codec
from agent.flow.load import load_flow
from agent.plan.secret_names import named_secrets
from agent.spec.job import JobSpec
from agent.spec.stages import StagesWork

FLOW = load_flow(
    """\
name: Relay
stages:
  - {name: send, action: webhook, config: {url: "https://${secret.my-host}/x", headers: {A: "${secrets.KEY}"}}}
  - {name: keep, action: noop, config: {retry: 2}}
  - {name: in, action: webhook, config: {path: /orders, token: "${secret.NONE}"}, out: [keep, send]}
""",
    "relay.yml",
).flow


def compile_job(*known: str) -> JobSpec:
    return Run(FLOW, request(secrets=known, sees_secrets=True)).spec("stages")


def test_the_stages_come_in_an_order_in_which_records_move() -> None:
    work = compile_job().work
    assert isinstance(work, StagesWork)
    assert (work.flow, [stage.name for stage in work.stages]) == ("Relay", ["in", "keep", "send"])
    first = work.stages[0]
    assert (first.action, first.is_trigger, first.out, first.place) == (
        "receive", True, ("keep", "send"), "relay.yml:5:5",
    )  # fmt: skip


def test_it_has_no_end_and_goes_to_any_agent() -> None:
    spec = compile_job()
    assert (spec.timeout_minutes, spec.runs_on, spec.name, spec.steps) == (0.0, (), "Relay", ())


def test_a_job_travels_with_its_stages_as_they_are() -> None:
    spec = compile_job("KEY")
    assert codec.parse(JobSpec, codec.dump(spec)) == spec


def test_the_secrets_that_its_configs_name_are_the_jobs() -> None:
    spec = compile_job("MY-HOST", "KEY", "OTHER")
    assert spec.secrets == ("MY-HOST", "KEY")
    assert spec.unset_secrets == ("NONE",)


def test_a_secret_that_nobody_has_set_is_told_with_its_stage() -> None:
    assert named_secrets(FLOW) == {
        "my-host": "relay.yml:3:5",
        "KEY": "relay.yml:3:5",
        "NONE": "relay.yml:5:5",
    }
