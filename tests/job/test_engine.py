"""The step loop on real processes: conditions, environment, outputs, failures, time."""

from pathlib import Path

import pytest
from support.jobs import run_job, script

from agent.spec.job import SpecStepKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind


def test_a_job_of_one_step_succeeds_and_its_output_is_in_the_journal(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("greet", "echo hello"))
    assert report.conclusion is Conclusion.SUCCESS
    assert report.output_of("greet") == ["hello"]
    assert list(report.steps()) == ["__set_up", "greet", "__complete"]


def test_the_head_of_a_log_shows_script_shell_and_environment_like_github(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("greet", "echo one\necho two", env={"COLOUR": "red"}))
    head = report.log("greet").partition("##[endgroup]\n")[0].splitlines()
    assert head[:3] == ["##[group]Run echo one", "\x1b[36;1mecho one\x1b[0m", "\x1b[36;1mecho two\x1b[0m"]
    assert head[3].startswith("shell: ")
    assert head[3].endswith("bash -e {0}")
    assert head[4:] == ["env:", "  COLOUR: red"]


def test_after_a_failure_only_steps_that_ask_for_it_run(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("breaks", "exit 3"),
        script("plain", "echo no"),
        script("on_failure", "echo yes", condition="failure()"),
        script("always", "echo yes", condition="always()"),
        script("on_success", "echo no", condition="success() && (true)"),
        script("on_cancel", "echo no", condition="cancelled()"),
    )
    assert report.own_steps() == {
        "breaks": "failure",
        "plain": "skipped",
        "on_failure": "success",
        "always": "success",
        "on_success": "skipped",
        "on_cancel": "skipped",
    }
    assert report.result.failure_kind is FailureKind.USER
    assert report.result.message == "Process completed with exit code 3."
    assert "##[error]Process completed with exit code 3." in report.output_of("breaks")


def test_continue_on_error_keeps_the_outcome_and_changes_the_conclusion(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("breaks", "exit 1", continue_on_error="${{ 1 == 1 }}"),
        script("tells", "echo ${{ steps.breaks.outcome }} ${{ steps.breaks.conclusion }}"),
    )
    breaks = report.steps()["breaks"]
    assert (breaks.outcome, breaks.conclusion) == (Conclusion.FAILURE, Conclusion.SUCCESS)
    assert report.output_of("tells") == ["failure success"]
    assert report.conclusion is Conclusion.SUCCESS


def test_a_failing_if_fails_its_step_with_the_message_and_the_place(tmp_path: Path) -> None:
    report = run_job(
        tmp_path, script("odd", "echo no", condition="success() && (nothing.here)", place="flow.yml:7:9")
    )
    assert report.own_steps() == {"odd": "failure"}
    assert "The template is not valid. flow.yml:7:9: Unrecognized named-value: 'nothing'" in report.log("odd")


def test_a_failing_template_fails_its_step(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("odd", "echo ${{ fromJSON('{') }}", place="flow.yml:3:1"))
    assert report.own_steps() == {"odd": "failure"}
    assert report.result.message.startswith("The template is not valid. flow.yml:3:1: ")


def test_environment_layers_win_over_one_another_in_githubs_order(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("writes", 'echo "C=written" >> "$GITHUB_ENV"; echo "D=written" >> "$GITHUB_ENV"; echo $C'),
        script("reads", "echo $A $B $C $D; echo ${{ env.B }} ${{ env.C }} ${{ env.D }}", env={"D": "step"}),
        env=({"A": "flow", "B": "flow", "C": "flow"}, {"B": "job ${{ env.A }}"}),
    )
    assert report.output_of("writes") == ["flow"]
    assert report.output_of("reads") == ["flow job flow written step", "job flow written step"]


def test_no_flow_overrides_what_github_sets(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("writes", 'echo "GITHUB_SHA=forged" >> "$GITHUB_ENV"'),
        script(
            "reads",
            "echo $GITHUB_SHA $RUNNER_OS $GITHUB_ACTIONS $CI",
            env={"RUNNER_OS": "Forged", "GITHUB_ACTIONS": "no", "CI": "mine"},
        ),
        github={"sha": "abc", "repository": "acme/tool"},
    )
    assert report.output_of("reads") == ["abc Linux true mine"]


def test_the_hosts_environment_does_not_leak_and_is_not_in_the_env_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST_SECRET", "leaked")
    report = run_job(
        tmp_path,
        script("looks", 'echo "[$HOST_SECRET] [${{ env.HOME }}] [${{ env.PATH }}]"; test -n "$HOME"'),
    )
    assert report.output_of("looks") == ["[] [] []"]


def test_paths_go_in_front_the_newest_foremost(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("one", 'echo /first >> "$GITHUB_PATH"; echo /second >> "$GITHUB_PATH"'),
        script("two", 'echo /third >> "$GITHUB_PATH"'),
        script("reads", "echo $PATH | cut -d: -f1-3"),
    )
    assert report.output_of("reads") == ["/third:/second:/first"]


def test_outputs_reach_later_steps_the_job_and_the_journal(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("makes", 'printf "long<<END\\none\\ntwo\\nEND\\nshort=1\\n" >> "$GITHUB_OUTPUT"'),
        script("reads", 'echo "${{ steps.makes.outputs.short }}-${{ steps.MAKES.outputs.LONG }}"'),
        outputs={"both": "${{ steps.makes.outputs.long }}", "empty": "${{ steps.none.outputs.x }}"},
    )
    assert report.output_of("reads") == ["1-one", "two"]
    assert report.steps()["makes"].outputs == {"long": "one\ntwo", "short": "1"}
    assert report.result.outputs == {"both": "one\ntwo"}


def test_a_job_output_that_holds_a_secret_is_dropped_with_a_warning(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("makes", 'echo "token=x-${{ secrets.TOKEN }}" >> "$GITHUB_OUTPUT"'),
        secrets={"TOKEN": "hunter2hunter2"},
        outputs={"token": "${{ steps.makes.outputs.token }}"},
    )
    assert report.result.outputs == {}
    assert "Skip output 'token' since it may contain secret." in report.log("__complete")
    assert "hunter2" not in report.folder.journal.read_bytes().decode("latin-1")


def test_secrets_reach_only_the_processes_that_the_flow_gives_them_to(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("given", "echo ${#TOKEN}", env={"TOKEN": "${{ secrets.TOKEN }}"}),
        script("not_given", "env | grep -c hunter2 || true"),
        secrets={"TOKEN": "hunter2hunter2"},
    )
    assert report.output_of("given") == ["14"]
    assert report.output_of("not_given") == ["0"]


def test_a_step_that_runs_too_long_is_ended_and_says_so(tmp_path: Path) -> None:
    report = run_job(tmp_path, script("slow", "sleep 60", name="Sleep", timeout_minutes=0.003))
    assert report.own_steps() == {"slow": "failure"}
    assert "The action 'Sleep' has timed out after 0.003 minutes." in report.log("slow")
    assert report.result.failure_kind is FailureKind.TIMEOUT


@pytest.mark.parametrize("minutes", ["1e308", "1e400", "600000", "x"])
def test_a_computed_time_out_of_a_step_that_makes_no_sense_fails_the_step(
    tmp_path: Path, minutes: str
) -> None:
    steps = (
        script("odd", "echo ran", timeout_minutes="${{ inputs.minutes }}"),
        script("next", "echo too", condition="always()"),
    )
    report = run_job(tmp_path, *steps, inputs={"minutes": minutes})
    assert report.own_steps() == {"odd": "failure", "next": "success"}
    assert "timeout-minutes is not a number" in report.log("odd")


def test_a_job_that_runs_too_long_is_cancelled_and_its_always_steps_still_run(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("slow", "sleep 60"),
        script("next", "echo no"),
        script("cleans", "echo ${{ job.status }}", condition="always()"),
        timeout_minutes=0.005,
    )
    assert report.own_steps() == {"slow": "cancelled", "next": "skipped", "cleans": "success"}
    assert report.output_of("cleans") == ["cancelled"]
    assert report.result.failure_kind is FailureKind.TIMEOUT
    assert report.conclusion is Conclusion.CANCELLED


def test_when_the_time_for_cancelling_is_over_no_step_has_a_turn(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("slow", "sleep 60"),
        script("cleans", "sleep 60", condition="always()"),
        script("late", "echo no", condition="always()"),
        timeout_minutes=0.003,
        cancel_timeout_minutes=0.05,  # enough for the second step to begin on a busy machine
    )
    assert report.own_steps() == {"slow": "cancelled", "cleans": "cancelled", "late": "skipped"}


def test_background_steps_run_beside_the_others_and_count_when_they_are_waited_for(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script(
            "serve", "until test -e go; do sleep 0.01; done; echo x=done >> $GITHUB_OUTPUT", background=True
        ),
        script("early", 'touch go; echo "[${{ steps.serve.outputs.x }}]"'),
        StepSpec(SpecStepKind.WAIT, "__wait", targets=("serve",)),
        script("later", 'echo "[${{ steps.serve.outputs.x }}]"'),
    )
    assert report.conclusion is Conclusion.SUCCESS
    assert report.output_of("early") == ["[]"]
    assert report.output_of("later") == ["[done]"]


def test_a_cancelled_background_step_does_no_harm_and_a_failed_one_does(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("serve", "sleep 60", background=True),
        StepSpec(SpecStepKind.CANCEL, "__cancel", targets=("serve",)),
        script("fine", "echo ${{ steps.serve.conclusion }}"),
        script("breaks", "exit 1", background=True),
    )
    assert report.output_of("fine") == ["cancelled"]
    assert report.conclusion is Conclusion.FAILURE
    assert report.own_steps()["__wait_for_background"] == "failure"


def test_shells_are_githubs(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("strict", "false | true; echo not reached", shell="bash", continue_on_error=True),
        script("lax", "false | true; echo reached"),
        script("python", "import sys; print(sys.argv[0].endswith('.py'))", shell="python"),
        script("own", "hello", shell="cat -A {0}"),
        script("wrong", "x", shell="fish", continue_on_error=True),
        script("missing", "x", shell="nonesuch {0}", continue_on_error=True),
    )
    assert report.steps()["strict"].outcome is Conclusion.FAILURE
    assert report.output_of("lax") == ["reached"]
    assert report.output_of("python") == ["True"]
    assert report.output_of("own") == ["hello"]
    assert "Invalid shell option" in report.log("wrong")
    assert "the shell 'nonesuch' is not installed on this machine" in report.log("missing")


def test_without_bash_the_default_shell_is_sh(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    settings = {"environment": {"PATH": str(tmp_path / "bin")}}
    report = run_job(tmp_path, script("plain", "echo $0"), settings=settings)
    assert f"shell: {tmp_path}/bin/sh -e {{0}}" in report.log("plain")
    assert report.conclusion is Conclusion.SUCCESS


def test_defaults_of_the_job_apply_and_a_missing_folder_is_named(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("makes", "mkdir -p sub/deep", working_directory="."),
        script("inside", "pwd | grep -o 'sub$'"),
        script("own", "pwd | grep -o deep", working_directory="sub/deep"),
        script("nowhere", "pwd", working_directory="gone"),
        working_directory="sub",
        settings={"workspace": _folder(tmp_path)},
    )
    assert report.output_of("inside") == ["sub"]
    assert report.output_of("own") == ["deep"]
    assert "the working directory 'gone' does not exist" in report.result.message


def test_every_process_gets_fresh_files_and_temp_is_gone_at_the_end(tmp_path: Path) -> None:
    report = run_job(
        tmp_path,
        script("one", 'echo "a=1" >> "$GITHUB_OUTPUT"; echo $GITHUB_OUTPUT'),
        script("two", 'cat "$GITHUB_OUTPUT"; echo $GITHUB_OUTPUT; test -d "$RUNNER_TEMP"'),
    )
    (first,), (second,) = report.output_of("one"), report.output_of("two")
    assert first != second
    assert not Path(first).parent.parent.exists()


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder
