"""A correct file of JumpWire's becomes a flow of one job, whose stages have complete, checked configs."""

from textwrap import dedent

import pytest

from agent.flow.dialect import RunFacts
from agent.flow.dialects.jumpwire.table.stages import STAGES
from agent.flow.dialects.jumpwire.table.triggers import TRIGGERS
from agent.flow.expressions import evaluate_text
from agent.flow.load import load_flow
from agent.flow.model import Flow, TriggerKind
from agent.flow.stages import FlowStage, order_stages
from agent.ids import RunId
from agent.spec.stages import TRIGGERS as SPEC_TRIGGERS
from agent.spec.stages import StageRetry

RELAY = """\
name: Relay big orders
stages:
  - {name: in, action: webhook, config: {path: /orders}, out: [only big]}
  - {name: only big, action: filter, config: {field: size, match: small}, out: [shape]}
  - {name: shape, action: field_map, config: {take: [id, total], convert: {total: int}}, out: [send]}
  - {name: send, action: webhook, config: {url: "http://127.0.0.1:9/x", headers: [{Authorization: "Bearer ${secrets.KEY}"}]}}
"""
RETRY = {"attempts": 5000, "first": 0.5, "factor": 2.0, "most": 60.0, "jitter": 0.5}
SHARED = {"retry": RETRY, "concurrency": 1}


def load(text: str) -> Flow:
    loaded = load_flow(dedent(text), "f.yml")
    assert loaded.warnings == ()
    return loaded.flow


def stages_of(flow: Flow) -> tuple[FlowStage, ...]:
    return flow.jobs["stages"].stages


def config_of(action: str, config: str, before: str = "") -> dict[str, object]:
    """The config of a stage of that action, less what all stages have; `before` is a trigger that hands records to it."""
    first = f"- {{name: t, action: {before}, out: [s]}}" if before else ""
    flow = load(f"name: f\nstages:\n{first}\n- {{name: s, action: {action}, config: {config}}}\n")
    return {name: value for name, value in stages_of(flow)[-1].config.items() if name not in SHARED}


def test_the_documents_flow_is_a_job_of_stages() -> None:
    flow = load(RELAY)
    (job,) = flow.jobs.values()
    assert (flow.name, flow.dialect.name, job.name) == ("Relay big orders", "jumpwire", "Relay big orders")
    assert (job.steps, job.call, job.runs_on, job.timeout_minutes) == ((), None, [], 0.0)
    assert [(stage.name, stage.action, stage.written, stage.out) for stage in job.stages] == [
        ("in", "receive", "webhook", ("only big",)),
        ("only big", "filter", "filter", ("shape",)),
        ("shape", "field_map", "field_map", ("send",)),
        ("send", "send", "webhook", ()),
    ]
    assert str(job.stages[3].position) == "f.yml:6:5"


def test_it_is_started_by_hand() -> None:
    trigger = load(RELAY).trigger_of(TriggerKind.BY_HAND)
    assert trigger is not None
    assert trigger.event == "manual"


def test_a_config_comes_complete() -> None:
    first, _, _, last = stages_of(load(RELAY))
    assert first.config == {"path": "/orders", "methods": ["POST"]}
    assert last.config == {
        "url": "http://127.0.0.1:9/x",
        "headers": [["Authorization", "Bearer ${secrets.KEY}"]],
        "method": "post",
        "event_body": True,
        "params": {},
        "timeout": 30,
        **SHARED,
    }


def test_the_triggers_are_those_of_the_contract_and_so_is_the_retry() -> None:
    assert set(TRIGGERS) == SPEC_TRIGGERS
    assert not set(STAGES) & SPEC_TRIGGERS
    assert StageRetry(**RETRY) == StageRetry()


def test_one_out_may_be_a_text() -> None:
    flow = load("name: f\nstages: [{name: a, action: manual, out: b}, {name: b, action: noop}]")
    assert stages_of(flow)[0].out == ("b",)


@pytest.mark.parametrize(
    ("written", "config", "before", "action"),
    [
        ("webhook", "{path: /x}", "", "receive"),
        ("webhook", "{url: 'http://h/x'}", "manual", "send"),
        ("kinesis", "{stream: s, cold_start: latest}", "", "kinesis"),
        ("kinesis", "{stream: s}", "manual", "put_kinesis"),
        ("flatten", "{field: a}", "manual", "map"),
        ("owner/repo@v1", "{}", "manual", "uses"),
        ("./score", "{}", "manual", "uses"),
        ("docker://image", "{}", "manual", "uses"),
    ],
)
def test_which_action_is_meant_its_config_and_its_place_say(
    written: str, config: str, before: str, action: str
) -> None:
    first = f"- {{name: t, action: {before}, out: [s]}}" if before else ""
    flow = load(f"name: f\nstages:\n{first}\n- {{name: s, action: '{written}', config: {config}}}\n")
    stage = stages_of(flow)[-1]
    assert (stage.action, stage.uses) == (action, written if action == "uses" else "")


@pytest.mark.parametrize(
    ("action", "config", "before", "read"),
    [
        ("udp", "{port: 9}", "", {"port": 9, "address": "0.0.0.0", "format": "json"}),
        ("cron", "{schedule: '0 3 * * *'}", "", {"schedule": ["0 3 * * *"], "time_zone": "UTC", "data": {}}),
        ("cron", "{schedule: ['0 3 * * *', '5 4 * * 1'], time_zone: Europe/Berlin, data: {a: 1}}", "",
         {"schedule": ["0 3 * * *", "5 4 * * 1"], "time_zone": "Europe/Berlin", "data": {"a": 1}}),
        ("kinesis_consumer", "{stream: s, cold_start: trim_horizon}", "",
         {"stream": "s", "cold_start": "trim_horizon", "format": "json", "most_bytes": 1 << 20, "consumer": "jumpwire"}),
        ("postgresql", "{url: 'postgresql://h/d', tables: a, most_lag: 2 GiB}", "",
         {"url": "postgresql://h/d", "tables": ["a"], "operations": ["insert", "update", "delete", "truncate"], "most_lag": 2 << 30, "most_bytes": 1 << 20}),
        ("nats", "{url: 'nats://h', stream: s}", "",
         {"url": "nats://h", "stream": "s", "cold_start": "trim_horizon", "format": "json", "most_bytes": 1 << 20}),
        ("redis", "{url: 'redis://h', stream: s}", "",
         {"url": "redis://h", "stream": "s", "cold_start": "trim_horizon", "format": "json", "most_bytes": 1 << 20}),
        ("webhook", "{path: orders/, methods: [put, POST]}", "", {"path": "/orders", "methods": ["PUT", "POST"]}),
        ("delay", "{seconds: 0.5}", "manual", {"seconds": 0.5}),
        ("filter", "{field: [a, b], pattern: '/^x/i'}", "manual", {"field": ["a", "b"], "pattern": "(?i)^x", "reject_matches": True}),
        ("filter", "{field: a, match: 5, reject_matches: false}", "manual", {"field": ["a"], "match": 5, "reject_matches": False}),
        ("field_map", "{drop: a, rename: {b: c}, convert: {d: bool}}", "manual", {"drop": ["a"], "rename": {"b": "c"}, "convert": {"d": "bool"}}),
        ("merge_data", "{data: {a: {b: [1, null]}}}", "manual", {"data": {"a": {"b": [1, None]}}}),
        ("zip", "{}", "manual", {"event_limit": 100}),
        ("reduce", "{merge: true}", "manual", {"merge": True}),
        ("map", "{}", "manual", {"keep": False}),
        ("slack", "{url: 'https://h/x'}", "manual", {"url": "https://h/x", "level": "info"}),
        ("webhook", "{url: '${secret.my-host}', headers: [[A, b], {C: 5}], method: PUT, response: answer}", "manual",
         {"url": "${secret.my-host}", "headers": [["A", "b"], ["C", "5"]], "method": "put", "event_body": True, "params": {}, "timeout": 30, "response": "answer"}),
        ("javascript", "{code: 'x => `${{a: 1}.a}`'}", "manual", {"code": "x => `${{a: 1}.a}`", "timeout": 30}),
        ("python", "{file: a.py, requirements: requirements.txt}", "manual", {"file": "a.py", "requirements": "requirements.txt", "timeout": 30}),
        ("run", "{run: cat, env: {A: 1}}", "manual", {"run": "cat", "env": {"A": "1"}, "timeout": 30}),
        ("owner/repo@v1", "{a: 1, timeout: 5}", "manual", {"a": 1, "timeout": 5}),
    ],
)  # fmt: skip
def test_values_are_as_the_stages_expect_them(
    action: str, config: str, before: str, read: dict[str, object]
) -> None:
    if action == "zip":
        flow = load(
            "name: f\nstages: [{name: a, action: manual, out: z}, {name: b, action: manual, out: z}, {name: z, action: zip}]"
        )
        assert stages_of(flow)[-1].config == {**read, **SHARED}
    else:
        assert config_of(action, config, before) == read


def test_a_retry_may_be_a_number_and_is_always_complete() -> None:
    text = (
        "name: f\nstages: [{name: a, action: manual, out: b}, {name: b, action: noop, config: {retry: %s}}]"
    )
    assert stages_of(load(text % 3))[1].config["retry"] == {**RETRY, "attempts": 3}
    assert stages_of(load(text % "{first: 1, jitter: 0}"))[1].config["retry"] == {
        **RETRY,
        "first": 1,
        "jitter": 0,
    }


def test_two_stages_share_no_default() -> None:
    flow = load(
        "name: f\nstages: [{name: a, action: manual, out: b}, {name: b, action: noop, out: c}, {name: c, action: noop}]"
    )
    _, one, other = stages_of(flow)
    assert one.config["retry"] is not other.config["retry"]


def test_stages_may_stand_in_any_order_and_are_put_in_one_for_the_job() -> None:
    flow = load(
        """
        name: f
        stages:
          - {name: end, action: noop}
          - {name: right, action: noop, out: end}
          - {name: top, action: manual, out: [left, right]}
          - {name: left, action: noop, out: end}
        """
    )
    assert [stage.name for stage in order_stages(stages_of(flow))] == ["top", "left", "right", "end"]


def test_a_flows_name_is_text_whatever_stands_in_it() -> None:
    flow = load("name: 'a ${{ b }}'\nstages: [{name: a, action: manual}]")
    name = flow.jobs["stages"].name
    assert isinstance(name, str)
    assert (flow.name, evaluate_text(name, {})) == ("a ${{ b }}", "a ${{ b }}")


def test_an_action_that_is_a_stage_finds_what_it_looks_for_around_it() -> None:
    dialect = load(RELAY).dialect
    facts = RunFacts(
        RunId(7), 3, 1, "Relay big orders", "relay.yml", "manual", {"a": 1}, "ada",
        url="https://git.lab/acme/relay.git", ref="refs/tags/v1", commit="abc",
    )  # fmt: skip
    github = dialect.job_contexts(dialect.start_contexts(facts), "stages")["github"]
    assert (github["repository"], github["repository_owner"], github["server_url"], github["ref_name"]) == (
        "acme/relay", "acme", "https://git.lab", "v1",
    )  # fmt: skip
    assert (github["event"], github["run_number"], github["workflow"]) == ({"a": 1}, "3", "Relay big orders")
    again = dialect.next_contexts({"github": github}, 2, "bob")["github"]
    assert (again["run_attempt"], again["sha"]) == ("2", "abc")


def test_without_a_repository_the_flow_gives_it_a_name() -> None:
    facts = RunFacts(RunId(7), 1, 1, "Relay big orders", "relay.yml", "manual", {}, "ada")
    github = load(RELAY).dialect.start_contexts(facts)["github"]
    assert (github["repository"], github["ref"]) == ("local/Relay-big-orders", "refs/heads/main")
