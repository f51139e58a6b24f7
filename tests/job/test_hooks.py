"""The owner's scripts around each job."""

from pathlib import Path

import pytest
from support.jobs import run_job, script

from agent.spec.outcome import Conclusion


@pytest.fixture
def hooks(tmp_path: Path) -> dict[str, object]:
    """Two scripts with an odd path: the first sets something, the second looks at how the job stands."""
    folder = tmp_path / "it's ${{ odd }}"
    folder.mkdir()
    started, completed = folder / "before.sh", folder / "after.sh"
    started.write_text('echo "before $GITHUB_JOB"\necho FROM_HOOK=here >> "$GITHUB_ENV"\n')
    completed.write_text('echo "after $FROM_HOOK"\n')
    return {"hook_job_started": str(started), "hook_job_completed": str(completed)}


def test_the_owners_scripts_run_before_and_after_the_job(tmp_path: Path, hooks: dict[str, object]) -> None:
    report = run_job(tmp_path, script("main", "echo $FROM_HOOK; exit 1"), settings=hooks)
    assert report.own_steps() == {
        "__hook_started": "success",
        "main": "failure",
        "__hook_completed": "success",
    }
    assert report.output_of("__hook_started") == ["before train"]
    assert report.output_of("main") == ["here", "##[error]Process completed with exit code 1."]
    assert report.output_of("__hook_completed") == ["after here"]
    assert [report.steps()[name].name for name in ("__hook_started", "__hook_completed")] == [
        "Set up runner",
        "Complete runner",
    ]


@pytest.mark.parametrize("which", ["hook_job_started", "hook_job_completed"])
def test_a_failing_script_fails_the_job(tmp_path: Path, hooks: dict[str, object], which: str) -> None:
    Path(str(hooks[which])).write_text("exit 9")
    report = run_job(tmp_path, script("main", "echo hello"), settings=hooks)
    assert report.conclusion is Conclusion.FAILURE
    assert report.result.message == "Process completed with exit code 9."


@pytest.mark.parametrize("path", ["relative.sh", "/no/such/file.sh", "/bin/true"])
def test_what_is_no_script_is_named(tmp_path: Path, path: str) -> None:
    report = run_job(tmp_path, script("main", "echo hello"), settings={"hook_job_started": path})
    assert report.conclusion is Conclusion.FAILURE
    assert path in report.result.message
    assert report.own_steps() == {"main": "skipped"}
