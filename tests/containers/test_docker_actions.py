"""Container actions, by a real engine."""

from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, leftovers
from support.git import make_repository
from support.jobs import JobReport, run_job, script, uses, write_action

from agent.job.containers.sweeping import job_labels
from agent.spec.outcome import Conclusion, FailureKind


@pytest.fixture
def run(tmp_path: Path, engine_address: str) -> Any:
    def run_it(*steps: Any, **options: Any) -> JobReport:
        settings = {"docker_host": engine_address, "workspace": tmp_path / "place"}
        report = run_job(tmp_path, *steps, settings=settings, **options)
        assert leftovers(engine_address, job_labels(report.folder)) == []
        return report

    return run_it


def test_an_image_is_a_step(run: Any) -> None:
    report = run(uses("one", f"docker://{BUSYBOX}", with_={"args": "echo 'two words' one", "extra": "x"}))
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("one") == ["two words one"]
    assert "Unexpected input" not in report.log()


def test_the_entrypoint_may_be_named(run: Any) -> None:
    step = uses("one", f"docker://{BUSYBOX}", with_={"entryPoint": "/bin/echo", "args": "hello"})
    assert run(step).output_of("one") == ["hello"]


def test_files_and_folders_lie_at_githubs_places(run: Any) -> None:
    shell = {
        "entrypoint": "/bin/sh",
        "args": "-c 'echo A=1 >> $GITHUB_ENV; echo b=2 >> $GITHUB_OUTPUT; pwd; echo $HOME $GITHUB_WORKSPACE"
        " $RUNNER_TEMP $GITHUB_EVENT_PATH $PATH $INPUT_WHERE; touch here'",
        "where": "${{ github.workspace }}/x",
    }
    report = run(
        uses("one", f"docker://{BUSYBOX}", with_=shell),
        script("two", "echo $A ${{ steps.one.outputs.b }}; ls"),
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("one") == [
        "/github/workspace",
        "/github/home /github/workspace /github/runner_temp /github/workflow/event.json /usr/bin:/bin /github/workspace/x",
    ]
    assert report.output_of("two") == ["1 2", "here"]


def test_an_exit_code_fails_the_step(run: Any) -> None:
    report = run(uses("one", f"docker://{BUSYBOX}", with_={"args": "sh -c 'exit 4'"}))
    assert report.result.message == "Docker run failed with exit code 4"


def test_a_dockerfile_is_built_once_for_its_content(run: Any, tmp_path: Path) -> None:
    write_action(
        tmp_path / "place",
        "greet",
        "name: greet\n"
        "inputs: {who: {default: world}}\n"
        "runs:\n"
        "  using: docker\n"
        "  image: Dockerfile\n"
        "  args: ['hello ${{ inputs.who }}', second]\n"
        "  env: {OWN: '${{ inputs.who }}'}\n"
        "  pre-entrypoint: /pre.sh\n"
        "  post-entrypoint: /post.sh\n",
        Dockerfile=f'FROM {BUSYBOX}\nCOPY main.sh post.sh /\nENTRYPOINT ["/main.sh"]\n',
        main_sh='#!/bin/sh\necho "$1,$2,$OWN"\necho kept=it >> $GITHUB_STATE\n',
        post_sh='#!/bin/sh\necho "post $STATE_kept"\n',
    )
    for name in ("main.sh", "post.sh"):
        (tmp_path / "place" / "greet" / name).chmod(0o755)
    report = run(uses("one", "./greet", with_={"who": "you"}), uses("two", "./greet"))
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "hello you,second,you" in report.log("one")
    assert "hello world,second,world" in report.log("two")
    assert "post it" in report.log("__post_one")
    again = run(uses("one", "./greet"))
    assert "This action's image was built before" in again.log("one")


def test_a_dockerfile_may_use_what_only_buildkit_can(run: Any, tmp_path: Path) -> None:
    write_action(
        tmp_path / "place",
        "greet",
        "name: greet\nruns: {using: docker, image: Dockerfile}\n",
        # With a word of its own, so that it is built here and now, whatever the engine has from before.
        Dockerfile=f"FROM {BUSYBOX}\n"
        f"RUN --mount=type=cache,target=/kept : {tmp_path} && echo so > /kept/so && cat /kept/so\n"
        'ENTRYPOINT ["echo", "hello"]\n',
    )
    report = run(uses("one", "./greet"))
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert {"so", "hello"} <= set(report.log().splitlines()), report.log()


def test_a_dockerfile_that_does_not_build_says_why(run: Any, tmp_path: Path) -> None:
    write_action(
        tmp_path / "place",
        "greet",
        "name: greet\nruns: {using: docker, image: Dockerfile}\n",
        Dockerfile=f"FROM {BUSYBOX}\nRUN echo so && false\n",
    )
    report = run(uses("one", "./greet"))
    assert "the action's image cannot be built" in report.result.message
    assert report.result.failure_kind is FailureKind.IMAGE


def test_a_container_action_within_a_composite_one_has_its_inputs(run: Any, tmp_path: Path) -> None:
    write_action(
        tmp_path / "place",
        "outer",
        "name: outer\ninputs: {who: {default: you}}\noutputs: {said: {value: '${{ steps.in.outputs.said }}'}}\n"
        "runs:\n  using: composite\n  steps:\n"
        "  - {id: in, uses: ./inner, with: {name: '${{ inputs.who }}'}}\n",
    )
    write_action(
        tmp_path / "place",
        "inner",
        "name: inner\ninputs: {name: {}}\noutputs: {said: {}}\n"
        f"runs: {{using: docker, image: 'docker://{BUSYBOX}', entrypoint: /bin/sh,"
        " args: ['-c', 'echo said=$INPUT_NAME,$1 >> $GITHUB_OUTPUT', sh, '${{ inputs.name }}']}\n",
    )
    report = run(uses("one", "./outer"), script("two", "echo ${{ steps.one.outputs.said }}"))
    assert report.output_of("two") == ["you,you"], report.log()


def test_in_a_job_with_a_container_an_action_sees_the_same_files_and_the_services(run: Any) -> None:
    words = {
        "entrypoint": "/bin/sh",
        "args": "-c 'cat note; echo $INPUT_FILE; wget -qO- http://web/etc/passwd | head -1; echo ::notice::b'",
        "file": "${{ github.workspace }}/note",
    }
    report = run(
        script("one", "echo from one > note"),
        uses("two", f"docker://{BUSYBOX}", with_=words),
        container=BUSYBOX,
        services={"web": {"image": BUSYBOX, "command": "httpd -f -p 80 -h /"}},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("two") == [
        "from one",
        "/github/workspace/note",
        "root:x:0:0:root:/root:/bin/sh",
        "##[notice]b",
    ]


def test_a_folder_that_a_step_made_a_link_is_not_mounted(run: Any, tmp_path: Path) -> None:
    swap = f"cd /; rm -rf {tmp_path}/place; ln -s {tmp_path} {tmp_path}/place"
    report = run(script("one", swap), uses("two", f"docker://{BUSYBOX}", with_={"args": "ls"}))
    assert "replaced by a link" in report.result.message


def test_what_lies_beside_a_fetched_actions_dockerfile_is_at_its_path_in_the_container(
    run: Any, tmp_path: Path, engine_address: str
) -> None:
    dockerfile = f'FROM {BUSYBOX}\nENTRYPOINT ["sh", "-c"]\n'
    shows = 'args: ["cat $GITHUB_ACTION_PATH/data.txt; echo $GITHUB_ACTION_PATH; touch $GITHUB_ACTION_PATH/x || echo kept"]'
    files = {
        "tool/action.yml": f"name: t\nruns: {{using: docker, image: Dockerfile, {shows}}}\n",
        "tool/Dockerfile": dockerfile,
        "tool/data.txt": "of the action\n",
    }
    repository = make_repository(tmp_path / "git" / "acme" / "tools", files)
    report = run(
        uses("one", f"{repository.url}//tool@v1"), script("two", "echo ${GITHUB_ACTION_REPOSITORY:-none}")
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    said = report.output_of("one")  # the build's lines before it
    data = said.index("of the action")
    assert said[data + 1].startswith("/github/actions/")
    assert said[data + 1].endswith("/tool")
    assert "kept" in said[data:]  # beside what `touch` complains of
    assert report.output_of("two") == ["none"]


def test_a_container_action_of_the_workspace_has_its_path_there(run: Any, tmp_path: Path) -> None:
    write_action(
        tmp_path / "place",
        "mine",
        f"name: t\nruns: {{using: docker, image: 'docker://{BUSYBOX}', args: [sh, -c, 'echo $GITHUB_ACTION_PATH']}}\n",
    )
    assert run(uses("one", "./mine")).output_of("one")[-1] == "/github/workspace/mine"
