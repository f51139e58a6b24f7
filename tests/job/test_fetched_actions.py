"""Actions out of real git repositories: set-up, `pre`, nesting, what the artifact actions are told."""

from pathlib import Path

import pytest
from support.git import make_repository
from support.jobs import JobReport, run_job, script, uses

from agent.spec.job import Source, SourceKind, StepSpec
from agent.spec.outcome import Conclusion, FailureKind

NODE = 'runs: {using: node20, pre: pre.js, pre-if: "%s", main: main.js, post: post.js}\n'


@pytest.fixture
def repositories(tmp_path: Path):
    """Makes a repository below the only place where actions are looked for; its tag is v1."""

    def make(name: str, files: dict[str, str]) -> None:
        make_repository(tmp_path / "git" / name, files)

    return make


def run_with_git(tmp_path: Path, *steps: StepSpec, **options: object) -> JobReport:
    settings = {"actions_urls": (f"file://{tmp_path}/git/{{owner}}/{{repo}}",)}
    return run_job(tmp_path, *steps, settings=settings, **options)


def stages(pre_if: str = "always()") -> dict[str, str]:
    say = "console.log('%s', process.env.STATE_seen, process.env.INPUT_WHO, process.env.GITHUB_ACTION_REPOSITORY)"
    save = "require('fs').appendFileSync(process.env.GITHUB_STATE, 'seen=pre\\n');"
    return {
        "action.yml": "inputs: {who: {default: me}}\n" + NODE % pre_if,
        "pre.js": save + say % "pre",
        "main.js": say % "main",
        "post.js": say % "post",
    }


def test_pre_runs_before_all_steps_and_shares_its_state(tmp_path: Path, repositories) -> None:
    repositories("acme/staged", stages())
    report = run_with_git(
        tmp_path, script("first", "true"), uses("act", "acme/staged@v1", with_={"who": "you"})
    )
    assert list(report.own_steps()) == ["__pre_act", "first", "act", "__post_act"]
    assert report.output_of("__pre_act") == ["pre undefined you acme/staged"]
    assert report.output_of("act") == ["main pre you acme/staged"]
    assert report.output_of("__post_act") == ["post pre you acme/staged"]
    assert "Download action repository 'acme/staged@v1' (SHA:" in report.log("__set_up")
    assert report.steps()["__pre_act"].name == "Pre Run acme/staged@v1"


def test_a_pre_that_is_not_wanted_is_skipped_and_post_is_still_due_once(tmp_path: Path, repositories) -> None:
    repositories("acme/staged", stages("runner.os == 'Windows'"))
    report = run_with_git(tmp_path, uses("act", "acme/staged@v1"))
    assert report.own_steps() == {"__pre_act": "skipped", "act": "success", "__post_act": "success"}


def test_when_pre_began_post_runs_though_the_step_is_skipped(tmp_path: Path, repositories) -> None:
    repositories("acme/staged", stages())
    report = run_with_git(tmp_path, uses("act", "acme/staged@v1", condition="false"))
    assert report.own_steps() == {"__pre_act": "success", "act": "skipped", "__post_act": "success"}


def test_pre_within_a_composite_runs_first_with_the_composites_inputs(tmp_path: Path, repositories) -> None:
    repositories("acme/staged", stages())
    repositories(
        "acme/outer",
        {
            "action.yml": """
inputs: {name: {default: nobody}}
runs:
  using: composite
  steps:
    - {id: inner, uses: acme/staged@v1, with: {who: "${{ inputs.name }}"}}
    - {id: own, uses: $/sub}
""",
            "sub/action.yml": "runs: {using: composite, steps: [{id: deep, run: 'echo $GITHUB_ACTION_PATH', shell: sh}]}",
        },
    )
    report = run_with_git(
        tmp_path, script("first", "true"), uses("act", "acme/outer@v1", with_={"name": "you"})
    )
    assert list(report.own_steps()) == ["__pre_inner", "first", "act", "inner", "own", "deep", "__post_inner"]
    assert report.output_of("__pre_inner") == ["pre undefined you acme/staged"]
    assert report.output_of("inner") == ["main pre you acme/staged"]
    assert report.output_of("deep")[0].endswith("/sub")
    assert report.log("__set_up").count("Download action repository") == 3


def test_what_a_composite_uses_is_resolved_before_the_first_step(tmp_path: Path, repositories) -> None:
    repositories("acme/outer", {"action.yml": "runs: {using: composite, steps: [{uses: acme/gone@v1}]}"})
    report = run_with_git(tmp_path, script("first", "true"), uses("act", "acme/outer@v1"))
    assert report.own_steps() == {}
    assert report.result.failure_kind is FailureKind.ACTION


def test_artifact_actions_are_told_a_host_that_they_take(tmp_path: Path, repositories) -> None:
    show = {
        "action.yml": "runs: {using: node20, main: main.js}",
        "main.js": "console.log(process.env.GITHUB_SERVER_URL)",
    }
    repositories("actions/upload-artifact", show)
    repositories("acme/other", show)
    steps = (uses("upload", "actions/upload-artifact@v1"), uses("other", "acme/other@v1"))
    own = run_with_git(tmp_path, *steps, github={"server_url": "https://git.example.org"})
    assert own.output_of("upload") == ["http://flows.localhost"]
    assert own.output_of("other") == ["https://git.example.org"]
    github = run_with_git(tmp_path, *steps, github={"server_url": "https://github.com"})
    assert github.output_of("upload") == ["https://github.com"]


def test_the_checkout_that_ships_with_the_product_fetches_the_runs_code(tmp_path: Path) -> None:
    code = make_repository(tmp_path / "code", {"train.py": "print('trained')"})
    report = run_with_git(
        tmp_path,
        uses("code", "flow-agent/checkout@v1"),
        script("trains", "python train.py", shell="sh -e {0}"),
        source=Source(SourceKind.GIT, code.url, "refs/heads/main", code.head),
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("trains") == ["trained"]
