"""Steps that wait for a person, in a run on this machine: a file answers, or whoever sits at the terminal."""

import json
from pathlib import Path

import pytest
from support.at_terminal import at_terminal
from support.lab import run_agent, wait_for
from support.nvml import FakeGpu, build_nvml, nvml_env

from agent.cli.terminal.form_dialogue import FormDialogue

FLOW = """
on: push
jobs:
  review:
    runs-on: self-hosted
    steps:
      - {id: look, uses: ./look}
      - run: echo "good ${{ steps.look.outputs.good }}, note ${{ steps.look.outputs.note }}"
"""
LOOK = """
name: Look at the pictures
runs:
  using: human
  form:
    type: object
    properties: {good: {type: integer, minimum: 0}, note: {type: string}}
    required: [good]
"""


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "look").mkdir()
    (tmp_path / "look" / "action.yml").write_text(LOOK)
    (tmp_path / "flow.yml").write_text(FLOW)
    return tmp_path / "flow.yml"


def run(flow: Path, *words: str | Path) -> tuple[int, str]:
    done = run_agent("flow", "run", flow, "--workspace", flow.parent, *words)
    return done.code, done.out + done.err


def write_answers(flow: Path, answers: object) -> Path:
    file = flow.with_name("answers.json")
    file.write_text(json.dumps(answers))
    return file


def test_nobody_at_a_terminal_fails_the_step_and_says_what_to_do(flow: Path) -> None:
    code, said = run(flow)
    assert code == 1
    assert "nobody can be asked, as standard input is no terminal" in said
    assert '--answers FILE answers it: {"look": {"NAME": VALUE}}' in said


@pytest.mark.parametrize("name", ["look", "review.look"])
def test_a_file_answers(flow: Path, name: str) -> None:
    code, said = run(flow, "--answers", write_answers(flow, {name: {"good": "7", "note": "fine"}}))
    assert (code, "good 7, note fine" in said) == (0, True), said


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("lok", "its 'lok' fits no step; did you mean `look`?"),
        ("reviev.look", "its 'reviev.look' fits no step; did you mean `review.look`?"),
        ("train", "'train' fits no step that has begun"),
    ],
)
def test_answers_to_no_step_are_named_where_one_is_missing(flow: Path, given: str, said: str) -> None:
    code, shown = run(flow, "--answers", write_answers(flow, {given: {"good": 1}}))
    assert (code, f"--answers has no answer to 'look': {said}" in shown) == (1, True), shown
    assert "--answers FILE answers it" not in shown


def test_answers_to_no_step_are_named_at_the_terminal_too(flow: Path) -> None:
    answers = str(write_answers(flow, {"lok": {"good": 1}}))
    words = ("flow", "run", str(flow), "--workspace", str(flow.parent), "--answers", answers)
    with at_terminal({}, *words) as terminal:
        terminal.read_until("did you mean `look`?")
        terminal.read_until("good (integer): ")
        terminal.type("1\n\n")
        assert terminal.finish() == 0


def test_an_answer_that_the_form_does_not_take_fails_the_step(flow: Path) -> None:
    code, said = run(flow, "--answers", write_answers(flow, {"look": {"good": -1}}))
    assert (code, "good: -1 is less than the minimum of 0" in said) == (1, True), said


def test_a_file_that_is_no_answer_starts_nothing(flow: Path) -> None:
    code, said = run(flow, "--answers", write_answers(flow, {"look": 7}))
    assert (code, "the answer to 'look' is not a JSON object" in said) == (2, True), said


@pytest.mark.parametrize("log", ["end", "all"])
def test_whoever_sits_at_the_terminal_is_asked(flow: Path, log: str) -> None:
    words = ("flow", "run", str(flow), "--workspace", str(flow.parent), "--log", log)
    with at_terminal({}, *words) as terminal:
        terminal.read_until("good (integer): ")
        terminal.type("many\n")
        terminal.read_until('is not of type "integer"')
        terminal.type("7\n")
        terminal.read_until("note (string, Enter: nothing): ")
        terminal.type("fine\n")
        assert terminal.finish() == 0
    assert b"good 7, note fine" in terminal.shown


def test_ctrl_c_while_somebody_is_asked_ends_the_run(flow: Path) -> None:
    with at_terminal({}, "flow", "run", str(flow), "--workspace", str(flow.parent)) as terminal:
        terminal.read_until("good (integer): ")
        terminal.type("\x03")
        assert terminal.finish() == 130


def fill(form: dict[str, object], *lines: str) -> tuple[dict[str, object] | None, list[str]]:
    dialogue = FormDialogue("title", form)
    said: list[str] = []
    for line in lines:
        said += [dialogue.prompt, *dialogue.feed(line)]
    return dialogue.values, said


def test_a_dialogue_begins_anew_when_the_whole_is_not_right() -> None:
    form = {"properties": {"a": {}, "b": {}}, "not": {"required": ["b"]}}
    values, said = fill(form, "1", "2", "1", "")
    assert values == {"a": "1"}
    assert "once more:" in said


def test_a_form_without_fields_asks_for_json() -> None:
    values, said = fill({"type": "object"}, "7", '{"a": [1]}')
    assert values == {"a": [1]}
    assert said == ["a JSON object: ", "that is no JSON object", "a JSON object: "]


def test_a_dialogue_shows_options_and_defaults() -> None:
    form = {"properties": {"a": {"enum": ["x", 1], "default": "x"}}, "required": ["a"]}
    values, said = fill(form, "")
    assert (values, said) == ({"a": "x"}, ["a (x|1, Enter: x): "])
    assert fill({"properties": {"a": {}}, "required": ["a"]}, "")[1] == ["a: ", "a is required"]


def test_another_job_of_the_run_has_the_gpu_while_somebody_is_asked(flow: Path, tmp_path: Path) -> None:
    environment = nvml_env(build_nvml(tmp_path / "nvml"), [FakeGpu(uuid="GPU-a")])
    done, gate = tmp_path / "trained", tmp_path / "gate"
    train = f"echo $AGENT_GPUS > {done}; until [ -e {gate} ]; do sleep 0.02; done"
    review = FLOW.replace("    steps:\n", "    resources: {gpus: 1}\n    steps:\n")
    flow.write_text(
        review.replace("      - run: echo", "      - run: echo $AGENT_GPUS again,")
        + f"  train: {{runs-on: self-hosted, resources: {{gpus: 1}}, steps: [{{run: '{train}'}}]}}\n"
    )
    with at_terminal(environment, "flow", "run", str(flow), "--workspace", str(flow.parent)) as terminal:
        terminal.read_until("good (integer): ")
        wait_for(done.exists, "the other job to have the GPU")
        terminal.type("7\n")
        terminal.read_until("note")
        terminal.type("fine\n")
        terminal.read_until("what it had of this machine is free again")
        gate.touch()
        terminal.read_until("GPU-a again, good 7, note fine")
        assert terminal.finish() == 0
    assert done.read_text() == "GPU-a\n"


def test_who_is_answered_from_a_file_keeps_what_it_has(flow: Path, tmp_path: Path) -> None:
    environment = nvml_env(build_nvml(tmp_path / "nvml"), [FakeGpu(uuid="GPU-a")])
    review = FLOW.replace("    steps:\n", "    resources: {gpus: 1}\n    steps:\n")
    flow.write_text(review.replace("      - run: echo", "      - run: echo $AGENT_GPUS again,"))
    answers = write_answers(flow, {"look": {"good": 1, "note": "x"}})
    done = run_agent(
        "flow", "run", flow, "--workspace", flow.parent, "--answers", answers, environment=environment
    )
    assert (done.code, "GPU-a again, good 1, note x" in done.out) == (0, True)


@pytest.mark.parametrize(
    ("typed", "value"), [("yes", True), ("Y", True), ("no", False), ("true", True), ("False", False)]
)
def test_a_boolean_is_asked_for_as_true_or_false_and_takes_yes_and_no(typed: str, value: bool) -> None:
    values, said = fill({"properties": {"a": {"type": "boolean"}}, "required": ["a"]}, typed)
    assert (values, said) == ({"a": value}, ["a (true|false): "])
    assert fill({"properties": {"a": {"type": "boolean"}}}, "maybe")[0] is None
