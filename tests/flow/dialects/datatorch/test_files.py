"""What a DataTorch file may say, and each thing that is wrong with it at its place."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from support.flows import check_flow

from agent.flow.dialects.datatorch.table.flow import FLOW_FIELDS
from agent.flow.dialects.datatorch.table.jobs import JOB_FIELDS, STEP_FIELDS
from agent.flow.dialects.datatorch.table.triggers import TRIGGER_FIELDS
from agent.flow.load import LIMITS, find_front_end, load_flow
from agent.flow.model import StepKind, TriggerKind
from agent.flow.problems import Severity


def read(text: str):
    return load_flow(dedent(text), "flow.yml", dialect="datatorch").flow


def problems(text: str, severity: Severity | None = None) -> list[str]:
    found = check_flow(dedent(text), "f.yml", "datatorch")
    return [
        f"{one.position.line}:{one.position.column}: {one.message}" + (f" [{one.hint}]" if one.hint else "")
        for one in found
        if severity in (None, one.severity)
    ]


def step(text: str) -> str:
    """A flow with one step; it stands in line 2, and what is given for it from column 26 on."""
    return f"name: N\njobs: {{a: {{steps: [{{{text}}}]}}}}\n"


def only(text: str):
    (found,) = read(step(text)).jobs["a"].steps
    return found


def test_a_step_has_all_that_was_written():
    found = only(
        "id: one, name: First, if: success(), action: o/r@v1, inputs: {a: [1, x]}, timeout: 2.5, cache: true"
    )
    assert (found.kind, found.id, found.name, found.uses) == (StepKind.USES, "one", "First", "o/r@v1")
    assert (dict(found.with_), found.timeout_minutes, found.is_cached) == ({"a": [1, "x"]}, 2.5, True)
    assert only("action: o/r").is_cached is None
    assert only("action: o/r, inputs: null").with_ == {}


@pytest.mark.parametrize(
    ("action", "uses"),
    [
        ("o/r@v1", "o/r@v1"), ("o/r", "o/r@HEAD"), ("o/r@latest", "o/r@HEAD"), ("o/r/sub@v1", "o/r/sub@v1"),
        ("datatorch/add@v1", "datatorch-actions/add@v1"), ("DataTorch/add", "datatorch-actions/add@HEAD"),
        ("not-datatorch/add@v1", "not-datatorch/add@v1"),
        ("docker://x", "docker://x"), ("docker://alpine:3", "docker://alpine:3"),
        ("https://git.example/o/r@v2", "https://git.example/o/r@v2"),
        ("https://git.example/o/r", "https://git.example/o/r@HEAD"),
        ("{name: datatorch/add, tag: v1}", "datatorch-actions/add@v1"), ("{name: o/r}", "o/r@HEAD"),
        ("{name: o/r@v3}", "o/r@v3"), ("{name: o/r, file: action-datatorch.yaml}", "o/r@HEAD"),
        ("{name: o/r, tag: v1, file: sub/action-datatorch.yaml}", "o/r/sub@v1"),
        ("{name: o/r, tag: v1, file: sub/other.yaml}", "o/r/sub/other.yaml@v1"),
        ("{name: x, git: 'https://git.example/g/t/r.git', tag: v1}", "https://git.example/g/t/r.git@v1"),
        ("{git: 'https://git.example/g/t/r', file: a/b.yaml}", "https://git.example/g/t/r//a/b.yaml@HEAD"),
    ],
)  # fmt: skip
def test_an_action_is_a_uses(action, uses):
    assert only(f"action: {action if action.startswith('{') else repr(action)}").uses == uses


@pytest.mark.parametrize(
    ("action", "uses", "warned"),
    [
        ("{name: d/p, tag: v1, git: 'git://github.com/d/p.git'}", "https://github.com/d/p.git@v1", "git:// is not encrypted"),
        ("{git: 'https://u:p@git.example/o/r', tag: v1}", "https://git.example/o/r@v1", "the credentials in this address are not used"),
        ("'https://u:p@git.example/o/r@v1'", "https://git.example/o/r@v1", "the credentials in this address are not used"),
        ("{git: 'git@host:o/r.git', tag: v1}", "ssh://git@host/o/r.git@v1", ""),
    ],
)  # fmt: skip
def test_an_address_that_was_good_there_is_taken_with_a_warning(action, uses, warned):
    assert only(f"action: {action}").uses == uses
    said = problems(step(f"action: {action}"))
    assert (len(said), all(warned in one and "u:p" not in one for one in said)) == (int(bool(warned)), True)


def test_a_flow_that_reads_itself_has_its_file_as_data():
    assert read(step("action: o/r, inputs: {x: '${{ run.name }}'}")).written is None
    for path in ("run.config", "run", "run['config'].name"):
        written = read(step(f'action: o/r, inputs: {{x: "${{{{ {path} }}}}"}}')).written
        assert written is not None
        assert written["name"] == "N"


def test_the_flows_own_repository_is_checked_out_for_an_action_of_it():
    for action in ("./mine", "{name: ./mine}"):
        steps = read(step(f"action: {action}")).jobs["a"].steps
        assert [one.uses for one in steps] == ["flow-agent/checkout@v1", "./mine"]


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ("add", "'add' names no action"), ("'a b/c'", "'a b/c' names no action"),
        ("{tag: v1}", "an action has a `name` or a `git`"),
        ("{git: 'o/r'}", "'o/r' is no address of a repository"),
        ("{name: o/r, tga: v1}", "Unexpected value 'tga'"),
    ],
)  # fmt: skip
def test_what_names_no_action_is_an_error_at_its_place(action, complaint):
    (found,) = problems(step(f"action: {action}"))
    assert f": {complaint}" in found
    assert found.startswith("2:")


def test_what_a_file_lacks_is_said():
    assert problems("{}") == [
        "1:1: Required property is missing: name",
        "1:1: Required property is missing: jobs",
    ]
    assert problems("name: ''\njobs: {a: {steps: [{action: o/r}]}}")[0].startswith("1:7: Unexpected value ''")
    assert problems("name: N\njobs: {}") == [
        "2:7: a flow has at least one job [write it as `jobs: {ID: {steps: [...]}}`]"
    ]
    assert problems("name: N\njobs: {a: {steps: [{inputs: {}}]}}") == [
        "2:20: Required property is missing: action"
    ]
    assert problems("name: N\njobs: {a: {}}") == [
        "2:8: the job 'a' has no steps [it succeeds, and nothing is done]".replace("2:8", "2:11")
    ]


@pytest.mark.parametrize("job", ["a", "_", "__x", "a-b_1", "x" * 200])
def test_these_are_ids_of_jobs(job):
    assert list(read(f"name: N\njobs: {{{job}: {{steps: [{{action: o/r}}]}}}}").jobs) == [job]


@pytest.mark.parametrize("job", ["1a", "-a", "a.b", "a b", "ä"])
def test_these_are_none(job):
    (found,) = problems(f"name: N\njobs:\n  {job}: {{steps: [{{action: o/r}}]}}")
    assert found == f"3:3: '{job}' is no id of a job [a letter or '_', then letters, digits, '-' and '_']"


def test_unknown_keys_are_an_error_at_the_top_and_a_warning_within():
    assert problems(f"trigers: manual\n{step('action: o/r')}", Severity.ERROR) == [
        "1:1: Unexpected value 'trigers' [did you mean `triggers`?]"
    ]
    found = problems("name: N\njobs: {a: {nmae: x, steps: [{action: o/r, input: {}}]}}", Severity.WARNING)
    assert found == [
        "2:12: 'nmae' of a job means nothing here [did you mean `name`?]",
        "2:43: 'input' of a step means nothing here [did you mean `inputs`?]",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${{ a.b | upper }}", "`a.b | upper` is neither a path nor a literal"),
        ("${{ variable.a + 1 }}", "`variable.a + 1` is neither a path nor a literal"),
        ("${% if a %}", "a block, `${% %}`, can't stand here"),
        ("${# note #}", "a comment, `${# #}`, can't stand here"),
        ("${{ variables.a }}", "Unrecognized named-value: 'variables'"),
        ("${{ github.sha }}", "Unrecognized named-value: 'github'"),
    ],
)
def test_what_a_template_may_not_hold_is_refused_at_its_place(text, complaint):
    (found,) = problems(
        f"name: N\njobs:\n  a:\n    steps:\n      - action: o/r\n        inputs:\n          x: '{text}'\n"
    )
    assert found.startswith(f"7:14: {complaint}")


@pytest.mark.parametrize("key", ["name", "description"])
def test_the_flows_own_keys_hold_no_template(key):
    text = f"{key}: '${{{{ run.id }}}}'\njobs: {{a: {{steps: [{{action: o/r}}]}}}}\n" + (
        "" if key == "name" else "name: N\n"
    )
    assert problems(text, Severity.ERROR) == [
        f"1:{len(key) + 3}: A template expression is not allowed in this context"
    ]


def test_references_to_steps_and_jobs_that_cannot_have_ended_are_warned_of():
    found = problems(
        """\
        name: N
        jobs:
          a:
            steps:
              - {name: first one, action: o/r, inputs: {x: "${{ steps.later.output.x }}"}}
              - {name: later, action: o/r, inputs: {x: "${{ steps.first on.output.x }}", y: "${{ steps.first one.output.x }}"}}
              - {action: o/r, inputs: {x: "${{ jobs.b.outputs.x }}"}}
          b: {steps: [{action: o/r}]}
        """
    )
    assert found == [
        "5:52: no step above is called 'later': this step would fail [known here: none]",
        "6:48: no step above is called 'first on': this step would fail [did you mean `first one`?]",
        "7:35: this job doesn't wait for the job 'b' [write `needs: [b]` in this one]",
    ]


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("success()", "success()"), ("true", "success() && (true)"), ("'${{ always() }}'", "always()"),
        ("variable.sum == 3", "success() && (variable.sum == 3)"),
        ("'${{ failure() && steps.a.output.b }}'", "failure() && steps.a.output.b"),
    ],
)  # fmt: skip
def test_an_if_is_an_expression(written, normal):
    assert only(f"if: {written}, action: o/r").condition == normal


@pytest.mark.parametrize("written", ["a and b", "nobody.x == 1", "'x = 1'", "'(a'"])
def test_an_if_that_is_none_is_an_error(written):
    assert len(problems(step(f"if: {written}, action: o/r"), Severity.ERROR)) == 1


def test_times_are_minutes_of_a_year_at_most():
    assert problems(step("action: o/r, timeout: -1"))[0].endswith("[0 is without an end]")
    assert "write a number" in problems(step("action: o/r, timeout: '5'"))[0]


def test_triggers_become_what_the_server_knows():
    found = read(
        """\
        name: N
        triggers:
          manual: {role: owner, form: {type: object, properties: {x: {type: integer}}}}
          annotatorButton: {name: B, icon: brain, flow: 2-points}
          schedule: [{cron: 0 3 * * *, timezone: Europe/Berlin}, 30 4 * * *]
          outside: {types: [go]}
          datasetVersion: {names: images, versions: ["1", "2"]}
          runFinished: {flows: [Other], types: [success, failure], branches: main}
          artifactTagged: {names: [model], tags: [v*]}
          agentLost:
        jobs: {a: {steps: [{action: o/r}]}}
        """
    )
    by_event = {trigger.event: trigger for trigger in found.triggers}
    assert list(by_event) == [
        "manual", "annotatorButton", "schedule", "repository_dispatch", "dataset_version", "run_finished",
        "artifact_tagged", "agent_lost",
    ]  # fmt: skip
    manual = by_event["manual"]
    assert (manual.kind, manual.role) == (TriggerKind.BY_HAND, "admin")
    assert manual.form == {"type": "object", "properties": {"x": {"type": "integer"}}}
    assert (by_event["annotatorButton"].kind, by_event["annotatorButton"].filters) == (
        TriggerKind.NAMED,
        {"types": ("B",)},
    )
    assert by_event["schedule"].schedules == (("0 3 * * *", "Europe/Berlin"), ("30 4 * * *", "UTC"))
    assert by_event["repository_dispatch"].filters == {"types": ("go",)}
    assert by_event["dataset_version"].filters == {"names": ("images",), "versions": ("1", "2")}
    assert by_event["run_finished"].filters == {
        "workflows": ("Other",), "types": ("success", "failure"), "branches": ("main",),
    }  # fmt: skip
    assert by_event["artifact_tagged"].filters == {"names": ("model",), "tags": ("v*",)}


@pytest.mark.parametrize(
    "written", ["", "triggers: manual\n", "triggers: [manual]\n", "triggers: {manual: }\n", "triggers:\n"]
)
def test_a_flow_that_says_no_more_is_started_by_hand(written):
    (trigger,) = read(f"{written}{step('action: o/r')}").triggers
    assert (trigger.event, trigger.kind, trigger.role, trigger.form) == (
        "manual",
        TriggerKind.BY_HAND,
        "",
        None,
    )


def test_who_starts_a_flow_that_reads_input_is_asked_for_what_it_reads():
    flow = read(step("action: o/r, inputs: {a: '${{ input.x }}', b: 'n ${{ inputs.y }} ${{ variable.z }}'}"))
    assert flow.triggers[0].form == {"type": "object", "properties": {"x": {}, "y": {}}}


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("{manual: {role: KING}}", "there is no role 'KING'"),
        ("{annotatorButton: {name: B}}", "Required property is missing: icon"),
        (
            "{annotatorButton: {name: B, icon: heart, flow: 4-points}}",
            "'heart' is none that an annotator has",
        ),
        ("{schedule: never}", "'never' is no time"),
        ("{schedule: '* * * * *'}", "the schedule asks for more than one start in 5 minutes"),
        ("{manul: {}}", "Unexpected value 'manul' [did you mean `manual`?]"),
        ("push", "Unexpected value 'push'"),
    ],
)
def test_what_is_wrong_or_odd_with_a_trigger_is_said_at_its_place(written, found):
    said = problems(f"triggers: {written}\n{step('action: o/r')}")
    assert any(found in one and one.startswith("1:") for one in said), said


def test_a_project_is_accepted_and_its_lack_of_effect_is_said():
    assert problems(f"project: 12\n{step('action: o/r')}") == [
        "1:10: `project` has no effect: a flow belongs to the project in which it is stored or started [--project names it]"
    ]


def test_a_job_may_ask_for_its_machine():
    job = read(
        "name: N\njobs: {a: {runs-on: [gpu, h200], resources: {gpus: {count: 2, memory: 80GB}}, steps: [{action: o/r}]}}"
    ).jobs["a"]
    assert (job.runs_on, job.resources) == (("gpu", "h200"), {"gpus": {"count": 2, "memory": "80GB"}})
    assert read(step("action: o/r")).jobs["a"].runs_on == ()
    (found,) = problems("name: N\njobs: {a: {resources: {memory: many}, steps: [{action: o/r}]}}")
    assert found.startswith("2:32: 'many' is not a size")


def test_needs_must_lead_somewhere():
    assert problems(
        "name: N\njobs: {a: {needs: b, steps: [{action: o/r}]}, c: {steps: [{action: o/r}]}}"
    ) == ["2:19: Job 'a' depends on unknown job 'b'."]


def test_the_language_has_a_schema_and_a_page():
    front_end = find_front_end("datatorch")
    schema = front_end.make_schema()
    assert {"name", "jobs", "triggers", "project", "$schema"} <= set(schema["$defs"]["flow"]["properties"])
    page = front_end.make_page()
    assert all(
        f"`{key}`" in page for key in ("annotatorButton", "cache", "timeout", "action", "datasetVersion")
    )


def test_the_page_of_keys_is_what_the_table_says():
    page = Path(__file__).parents[4] / "docs" / "dialects" / "datatorch-keys.md"
    assert page.read_text() == find_front_end("datatorch").make_page()


def test_every_key_is_in_the_table_of_docs_and_every_test_that_it_names_is_there():
    root = Path(__file__).parents[4]
    text = (root / "docs" / "dialects" / "datatorch.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+test_[a-z_]+\.py)`", text))
    assert named
    assert [name for name in named if not (root / "tests" / name).is_file()] == []
    files = set(re.findall(r"`flows/([\w.-]+)`", text))
    folder = root / "tests" / "dialects" / "datatorch" / "flows"
    assert [name for name in files if not (folder / name).is_file()] == []
    for fields in (FLOW_FIELDS, JOB_FIELDS, STEP_FIELDS, TRIGGER_FIELDS):
        assert [key for key in fields.keys if not re.search(rf"[`.\]]{re.escape(key)}\b", text)] == []


def test_a_key_that_stands_twice_is_an_error():
    assert any(
        "already defined" in one for one in problems("name: N\nname: M\njobs: {a: {steps: [{action: o/r}]}}")
    )


def test_it_takes_no_more_than_what_a_file_is_read_with():
    own = find_front_end("datatorch").limits
    assert all(mine <= most for mine, most in zip(own, LIMITS, strict=True))


def test_hostile_files_end_soon():
    deep = "name: N\njobs: {a: {steps: [{action: o/r, inputs: {x: " + "[" * 60 + "]" * 60 + "}}]}}"
    assert any("depth" in one for one in problems(deep))
    many = (
        "name: N\njobs: {a: {steps: ["
        + "{action: o/r, inputs: {x: '${{ steps.q.output.z }}'}}, " * 4000
        + "]}}"
    )
    assert len(problems(many)) >= 1000
