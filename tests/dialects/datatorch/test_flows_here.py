"""Flows of DataTorch's, run here without a server: what steps are given, what they give, and when they fail."""

import json

import pytest
from support.datatorch import Bench

AVERAGE = """\
name: Average of 10 and 20
jobs:
  average:
    steps:
      - {name: add, action: datatorch/add@v1, inputs: {a: 10, b: 20}}
      - {name: halve, action: datatorch/divide@v1, inputs: {num: "${{ variable.sum }}", by: 2}}
"""


def one_job(*steps: str) -> str:
    """A flow whose job has these steps."""
    return "name: Test\njobs:\n  only:\n    steps:\n" + "".join(f"      - {step}\n" for step in steps)


def test_the_average_of_10_and_20_is_15(bench: Bench) -> None:
    ran = bench.run(AVERAGE)
    assert ran.code == 0, ran.log
    assert ran.outputs("add") == {"sum": 30}
    assert ran.outputs("halve") == {"result": 15}


def test_a_json_file_is_a_flow_as_well(bench: Bench) -> None:
    text = {
        "name": "J",
        "jobs": {"a": {"steps": [{"name": "s", "action": "datatorch/add@v1", "inputs": {"a": 1, "b": 2}}]}},
    }
    assert bench.run(json.dumps(text), name="flow.json").outputs("s") == {"sum": 3}


def test_a_value_keeps_its_kind_and_is_text_within_text(bench: Bench) -> None:
    ran = bench.run(
        one_job(
            "{name: first, action: datatorch/show@v1, inputs: {value: {points: [1, 2.5, null], on: true}}}",
            "{name: whole, action: datatorch/show@v1, inputs: {value: '${{ variable.value }}', more: '${{ variable.value.points }}'}}",
            "{name: within, action: datatorch/echo@v1, inputs: {text: 'p=${{ variable.value.points }} ${{ variable.value.on }}'}}",
        ).replace("{value: {points", "{value: {points"),
    )
    assert ran.code == 0, ran.log
    given = ran.outputs("whole")["seen"]
    assert given["more"] == [1, 2.5, None]
    assert "[p=[1, 2.5, null] true]" in ran.log


def test_a_python_action_gets_all_values_so_far_as_its_last_argument_and_its_inputs_as_variables(
    bench: Bench,
) -> None:
    ran = bench.run(
        one_job(
            "{name: add, action: datatorch/add@v1, inputs: {a: 10, b: 20}}",
            '{name: show, action: datatorch/show@v1, inputs: {value: "it\'s $(id) `id` \\"x\\"", image-path: /a}}',
        )
    )
    assert ran.code == 0, ran.log
    shown = ran.outputs("show")
    assert shown["seen"] == {"a": 10, "b": 20, "sum": 30, "value": 'it\'s $(id) `id` "x"', "image-path": "/a"}
    assert shown["env"] == {"INPUT_VALUE": 'it\'s $(id) `id` "x"', "INPUT_IMAGE_PATH": "/a"}


def test_steps_are_known_by_name_and_by_id(bench: Bench) -> None:
    ran = bench.run(
        one_job(
            "{name: Add them, id: sum, action: datatorch/add@v1, inputs: {a: 1, b: 2}}",
            "{name: by name, action: datatorch/echo@v1, inputs: {text: '${{ steps.Add them.output.sum }}'}}",
            "{name: by id, action: datatorch/echo@v1, inputs: {text: '${{ steps.sum.outputs.sum }}${{ variable.text }}'}}",
        )
    )
    assert ran.code == 0, ran.log
    assert {"[3]", "[33]"} <= set(ran.log)


def test_the_machines_contexts_and_the_steps_are_there(bench: Bench) -> None:
    names = (
        "agent.id", "agent.name", "agent.directory", "directory.agent", "directory.actions", "directory.logs",
        "directory.temp", "machine.name", "machine.os", "machine.version", "python.version", "python.implementation",
        "pipeline.name", "flow.name", "pipeline.lastRunNumber", "run.id", "run.name", "run.runNumber", "run.directory",
        "run.config.name", "trigger.type", "step.name", "action.name", "action.version", "action.tag",
        "action.directory", "job.name", "job.directory", "pipeline.creatorId", "pipeline.id",
    )  # fmt: skip
    inputs = ", ".join(f"{name.replace('.', '_')}: '${{{{ {name} }}}}'" for name in names)
    ran = bench.run(one_job(f"{{name: show, action: datatorch/show@v1, inputs: {{{inputs}}}}}"))
    assert ran.code == 0, ran.log
    seen = ran.outputs("show")["seen"]
    assert {name.replace(".", "_") for name in names} <= {
        name for name, value in seen.items() if value not in ("", None)
    }
    assert (seen["pipeline_name"], seen["trigger_type"], seen["step_name"]) == ("Test", "manual", "show")
    assert (seen["action_name"], seen["action_tag"], seen["run_runNumber"]) == ("Show", "v1", 1)


def test_a_path_that_leads_nowhere_fails_the_step_at_its_place(bench: Bench) -> None:
    ran = bench.run(one_job("{name: a, action: datatorch/echo@v1, inputs: {text: '${{ variable.nobody }}'}}"))
    assert ran.code == 1
    assert ran.steps["a"]["conclusion"] == "failure"
    assert any("flow.yml:5:9: `variable.nobody` leads to nothing" in line for line in ran.log)


def test_one_jobs_failure_stops_no_other_and_fails_the_run(bench: Bench) -> None:
    ran = bench.run(
        "name: Two\njobs:\n"
        "  bad: {steps: [{action: datatorch/divide@v1, inputs: {by: x}}]}\n"
        "  good: {steps: [{name: add, action: datatorch/add@v1, inputs: {a: 1, b: 1}}]}\n"
    )
    assert ran.code == 1
    assert ran.jobs == {"bad": "failure", "good": "success"}


def test_a_steps_if_sees_what_earlier_steps_gave(bench: Bench) -> None:
    ran = bench.run(
        one_job(
            "{name: add, action: datatorch/add@v1, inputs: {a: 1, b: 2}}",
            "{name: yes, if: variable.sum == 3, action: datatorch/echo@v1}",
            "{name: no, if: '${{ steps.add.output.sum > 3 }}', action: datatorch/echo@v1}",
            "{name: bad, action: datatorch/divide@v1, inputs: {num: x}}",
            "{name: after, if: failure(), action: datatorch/echo@v1}",
            "{name: never, action: datatorch/echo@v1}",
        )
    )
    ends = {name: step["conclusion"] for name, step in ran.steps.items()}
    assert ends == {
        "add": "success", "yes": "success", "no": "skipped", "bad": "failure", "after": "success", "never": "skipped",
    }  # fmt: skip


def test_a_time_out_stops_a_step(bench: Bench) -> None:
    bench.publish(
        "acme/slow", {"action-datatorch.yaml": "name: S\nruns: {using: cmd, command: sleep 1000}\n"}
    )
    ran = bench.run(one_job("{name: slow, action: acme/slow@v1, timeout: 0.002}"))
    assert ran.code == 1
    assert any("has timed out" in line for line in ran.log)


def test_jobs_that_need_others_read_their_outputs_as_they_are(bench: Bench) -> None:
    ran = bench.run(
        "name: Needs\njobs:\n"
        "  first:\n    steps: [{name: add, action: datatorch/add@v1, inputs: {a: 1, b: 2}}]\n"
        "    outputs: {total: '${{ steps.add.output.sum }}', points: '${{ variable }}'}\n"
        "  second:\n    needs: first\n"
        "    steps: [{name: show, action: datatorch/show@v1, inputs: {value: '${{ jobs.first.outputs.points }}', n: '${{ jobs.first.outputs.total }}'}}]\n"
    )
    assert ran.code == 0, ran.log
    seen = ran.outputs("show")["seen"]
    assert (seen["value"], seen["n"]) == ({"a": 1, "b": 2, "sum": 3}, 3)


def test_what_a_step_writes_for_later_ones_does_not_reach_them(bench: Bench) -> None:
    command = "echo OTHER=1 >> $GITHUB_ENV; echo text=plain >> $GITHUB_OUTPUT; export OTHER=1"
    bench.publish(
        "acme/env", {"action-datatorch.yaml": f"name: E\nruns: {{using: cmd, command: '{command}'}}\n"}
    )
    ran = bench.run(one_job("{name: env, action: acme/env@v1}", "{name: show, action: datatorch/show@v1}"))
    assert ran.outputs("env") == {"text": "plain"}
    assert "OTHER" not in ran.outputs("show")["env"]
    assert ran.outputs("show")["seen"] == {"text": "plain", "value": None}


def test_a_line_whose_rest_is_no_json_is_log(bench: Bench) -> None:
    lines = [
        "::debug::text",
        "::no json::{a",
        "::nan::NaN",
        "::::1",
        "a::b::1",
        "::ok::[1,{}]",
        ' ::two words::"x"',
    ]
    command = "; ".join(f"echo {json.dumps(line)}" for line in lines)
    bench.publish(
        "acme/lines",
        {"action-datatorch.yaml": f"name: L\nruns: {{using: cmd, command: {json.dumps(command)}}}\n"},
    )
    ran = bench.run(one_job("{name: lines, action: acme/lines@v1}"))
    assert ran.outputs("lines") == {"ok": [1, {}], "two words": "x"}
    assert set(lines[:5]) <= set(ran.log)


def test_secrets_that_an_action_names_are_in_its_environment_and_no_others(bench: Bench) -> None:
    manifest = "name: S\nenv: {TOKEN: {description: A key.}}\nruns: {using: python, main: show.py}\n"
    from support.datatorch import SHOW_PY

    bench.publish("acme/secret", {"action-datatorch.yaml": manifest, "show.py": SHOW_PY})
    flow = one_job(
        "{name: named, action: acme/secret@v1, inputs: {given: '${{ secrets.OTHER }}'}}",
        "{name: show, action: datatorch/show@v1}",
    )
    ran = bench.run(flow, "--secret", "TOKEN=hunter2hunter2", "--secret", "OTHER=letmein99")
    assert ran.code == 0, ran.log
    assert ran.outputs("named")["env"] == {"TOKEN": "***", "INPUT_GIVEN": "***"}
    assert "given" not in ran.outputs("named")["seen"], "a secret was on a command line"
    assert ran.outputs("show")["env"] == {"INPUT_VALUE": ""}


@pytest.mark.parametrize(
    ("inputs", "complaint"),
    [
        ("{b: 1}", "the input 'a' of 'datatorch-actions/add@v1' is required, and nothing was given for it"),
        ("{a: x, b: 1}", "the input 'a' is an integer, not 'x'"),
        ("{a: 1.5, b: 1}", "the input 'a' is an integer, not '1.5'"),
        ("{a: true, b: 1}", "the input 'a' is an integer, not 'true'"),
    ],
)
def test_a_missing_or_wrong_input_fails_the_step_before_anything_runs(
    bench: Bench, inputs: str, complaint: str
) -> None:
    ran = bench.run(one_job(f"{{name: add, action: datatorch/add@v1, inputs: {inputs}}}"))
    assert ran.code == 1
    assert any(complaint in line and "flow.yml:5:9" in line for line in ran.log), ran.log


def test_a_required_input_that_is_not_given_is_what_an_earlier_step_had_under_its_name(bench: Bench) -> None:
    ran = bench.run(
        one_job(
            "{action: datatorch/show@v1, inputs: {a: '4'}}",
            "{name: add, action: datatorch/add@v1, inputs: {b: '5'}}",
        )
    )
    assert ran.outputs("add") == {"sum": 9}


def test_an_action_may_be_of_the_flows_own_repository_or_at_an_address_with_a_file(bench: Bench) -> None:
    (bench.project / "mine").mkdir()
    (bench.project / "mine" / "action-datatorch.yaml").write_text(
        "name: Mine\nruns: {using: script, main: run.sh a b}\n"
    )
    (bench.project / "mine" / "run.sh").write_text("echo mine $1 $2\n")
    bench.publish(
        "other/place",
        {"sub/odd.yaml": "name: Odd\nruns: {using: script, main: go}\n", "sub/go": "#!/bin/sh\necho odd\n"},
        "v2",
    )
    url = (bench.folder / "git" / "other" / "place").as_uri()
    ran = bench.run(
        one_job(
            "{action: ./mine}",
            f"{{action: {{name: other/place, git: '{url}', tag: v2, file: sub/odd.yaml}}}}",
            "{action: {name: other/place, tag: latest, file: sub/odd.yaml}}",
        )
    )
    assert ran.code == 0, ran.log
    assert "mine a b" in ran.log
    assert ran.log.count("odd") == 2


def test_an_action_without_a_tag_is_the_default_branch(bench: Bench) -> None:
    from support.git import Repository

    moved = {"action-datatorch.yaml": "name: E\nruns: {using: cmd, command: echo newer}\n"}
    Repository(bench.folder / "git" / "datatorch-actions" / "echo").commit(moved)
    ran = bench.run(
        one_job("{action: datatorch/echo}", "{action: DataTorch/echo@latest}", "{action: datatorch/echo@v1}")
    )
    assert ran.code == 0, ran.log
    assert (ran.log.count("newer"), ran.log.count("[]")) == (2, 1)


@pytest.mark.parametrize(
    ("triggers", "covered"),
    [("{annotatorButton: {name: DEXTR, icon: brain, flow: 4-points}}", False), ("outside", True)],
)
def test_an_event_is_read_as_its_sender_wrote_it(bench: Bench, triggers: str, covered: bool) -> None:
    event = bench.project / "event.json"
    written = {"fileId": 7, "flowData": {"points": [[1, 2]]}}
    event.write_text(json.dumps({"client_payload": written} if covered else written))
    flow = f"triggers: {triggers}\n" + one_job(
        "{name: show, action: datatorch/show@v1, inputs: {value: '${{ event.flowData.points }}', id: '${{ event.fileId }}'}}"
    )
    ran = bench.run(flow, "--event-file", event)
    assert ran.code == 0, ran.log
    assert (ran.outputs("show")["seen"]["value"], ran.outputs("show")["seen"]["id"]) == ([[1, 2]], 7)


def test_a_name_is_required_and_the_problem_says_where(bench: Bench) -> None:
    assert bench.validate("jobs: {a: {steps: [{action: o/r}]}}") == [
        "1:1: error: Required property is missing: name"
    ]
