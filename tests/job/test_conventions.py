"""A job whose conventions are others than GitHub's: the same mechanisms under other words."""

from pathlib import Path
from types import MappingProxyType

import pytest
from support.jobs import run_job, script, uses, write_action

from agent.spec import conventions
from agent.spec.conventions import GITHUB, CommandFile
from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion

OTHER = GITHUB._replace(
    context_prefix="RUN_",
    exported=frozenset({"sha", "workspace"}),
    machine_prefix="BOX_",
    input_prefix="IN_",
    command_files=MappingProxyType({file: f"SAY_{file.upper()}" for file in CommandFile}),
    always=MappingProxyType({"TEA": "green"}),
    usually=MappingProxyType({"CUP": "small"}),
    tools_variable="TOOLS",
    shells=MappingProxyType({"shout": "sh -x {0}"}),
    default_shells=("no-such-shell {0}", "sh {0}"),
)


@pytest.fixture(autouse=True)
def _other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conventions, "CONVENTIONS", {**conventions.CONVENTIONS, "other": OTHER})


def test_steps_find_what_is_around_them_and_speak_in_the_words_of_their_conventions(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "one", "echo one=1 >> $SAY_OUTPUT; echo LATER=yes >> $SAY_ENV; echo '# Tea' >> $SAY_STEP_SUMMARY"
        ),
        script("two", "echo ${{ steps.one.outputs.one }} $LATER $RUN_SHA $TEA $CUP $BOX_OS; pwd"),
        script("three", 'test "$RUN_WORKSPACE" = "$PWD"; env | cut -d= -f1', env={"CUP": "large"}),
        conventions="other",
        github={"sha": "abc"},
    )
    assert report.conclusion is Conclusion.SUCCESS
    assert report.output_of("two")[0] == "1 yes abc green small Linux"
    assert report.summaries() == "# Tea\n"
    names = set(report.output_of("three"))
    assert {"TEA", "RUN_SHA", "TOOLS", "SAY_ENV"} <= names
    assert not [name for name in names if name.startswith(("GITHUB_", "INPUT_")) or name == "CI"]
    assert [name for name in names if name.startswith("RUNNER_")] == [conventions.TRACKING_VARIABLE]


def test_shells_are_those_of_the_conventions_and_the_first_that_is_there_is_the_default(
    tmp_path: Path,
) -> None:
    report = run_job(
        tmp_path,
        script("usual", "true"),
        script("named", "true", shell="shout"),
        script("github", "true", shell="bash"),
        conventions="other",
    )
    assert "/sh {0}\n" in report.log("usual")
    assert "/sh -x {0}\n" in report.log("named")
    assert "Invalid shell option" in report.log("github")


def test_a_language_may_be_without_command_files_and_its_processes_are_ended_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = OTHER._replace(command_files=MappingProxyType({}))
    monkeypatch.setattr(conventions, "CONVENTIONS", {"silent": silent})
    far = "(setsid sleep 1000 & echo $! > pid.new); mv pid.new pid; sleep 1000"  # nobody's child, in no group of the step's
    report = run_job(
        tmp_path,
        script("stuck", far, background=True),
        script("begun", "until [ -e pid ]; do sleep 0.05; done"),
        StepSpec(SpecStepKind.CANCEL, "end", targets=("stuck",)),
        script("gone", "while kill -0 $(cat pid) 2>/dev/null; do sleep 0.05; done"),
        conventions="silent",
    )
    assert report.own_steps() == {
        "stuck": "cancelled",
        "begun": "success",
        "end": "success",
        "gone": "success",
    }


def test_an_action_finds_its_inputs_there_and_a_folder_is_refused_by_the_variables_name(
    tmp_path: Path,
) -> None:
    workspace = tmp_path / "own"
    manifest = "inputs: {who: {default: you}}\nruns: {using: python, main: main.py}\n"
    program = "import os\nprint(os.environ['IN_WHO'], 'INPUT_WHO' in os.environ)\n"
    write_action(workspace, "act", manifest, main_py=program)
    report = run_job(
        tmp_path,
        uses("act", "./act"),
        script("odd", "rm $SAY_ENV; mkdir $SAY_ENV"),
        conventions="other",
        settings={"workspace": workspace},
    )
    assert report.output_of("act") == ["you False"]
    assert "$SAY_ENV is not the file any more" in report.log("odd")
