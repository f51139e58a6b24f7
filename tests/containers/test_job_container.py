"""Jobs with `container:`, by a real engine."""

import contextlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX, DEBIAN, connect, leftovers
from support.jobs import JobReport, run_job, script, uses, write_action
from support.wheels import offer_node

from agent.job.containers.sweeping import job_labels
from agent.spec.outcome import Conclusion, FailureKind


@pytest.fixture
def run(tmp_path: Path, engine_address: str) -> Any:
    def run_it(*steps: Any, container: object = BUSYBOX, **options: Any) -> JobReport:
        settings = {"docker_host": engine_address, **options.pop("settings", {})}
        report = run_job(tmp_path, *steps, container=container, settings=settings, **options)
        assert leftovers(engine_address, job_labels(report.folder)) == []
        return report

    return run_it


def test_steps_run_in_the_container(run: Any) -> None:
    report = run(script("one", "cat /etc/passwd; echo $FROM_IMAGE; pwd"))
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("one")[0] == "root:x:0:0:root:/root:/bin/sh"
    assert report.output_of("one")[-2:] == ["yes", "/__w/work/work"]


def test_the_default_shell_in_a_container_is_sh(run: Any) -> None:
    assert "shell: sh -e {0}" in run(script("one", "true")).log("one")


def test_neither_path_nor_home_of_the_machine_get_in(run: Any) -> None:
    report = run(script("one", "echo $PATH; echo $HOME; env | sort"), env=({"MINE": "1"},))
    assert report.output_of("one")[:2] == ["/usr/bin:/bin", "/github/home"]
    assert "MINE=1" in report.output_of("one")


def test_an_exit_code_fails_the_step_and_the_job(run: Any) -> None:
    report = run(script("one", "exit 3"), script("two", "echo here", condition="failure()"))
    assert report.conclusion is Conclusion.FAILURE
    assert report.result.message == "Process completed with exit code 3."
    assert report.output_of("two") == ["here"]


def test_files_carry_environment_outputs_path_and_summary(run: Any) -> None:
    report = run(
        script(
            "one",
            "echo A=1 >> $GITHUB_ENV; echo b=2 >> $GITHUB_OUTPUT; echo /here/bin >> $GITHUB_PATH;"
            " echo '# Sum' >> $GITHUB_STEP_SUMMARY; echo $GITHUB_WORKSPACE $RUNNER_TEMP $RUNNER_TOOL_CACHE"
            " $GITHUB_EVENT_PATH; cat $GITHUB_EVENT_PATH",
        ),
        script("two", "echo $A ${{ steps.one.outputs.b }} $PATH ${{ github.workspace }}"),
    )
    assert report.output_of("one") == ["/__w/work/work /__w/_temp /__t /github/workflow/event.json", "{}"]
    assert report.output_of("two") == ["1 2 /here/bin:/usr/bin:/bin /__w/work/work"]
    assert report.summaries() == "# Sum\n"


def test_a_javascript_action_runs_with_the_agents_node(run: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "place"
    write_action(
        workspace,
        "hello",
        "name: hello\ninputs: {who: {default: world}}\nruns: {using: node24, main: main.js, post: post.js}\n",
        main_js="const fs = require('fs');"
        "console.log(`hello ${process.env.INPUT_WHO} from ${__dirname} ${process.execPath}`);"
        "fs.appendFileSync(process.env.GITHUB_STATE, 'kept=yes\\n');",
        post_js="console.log(`post ${process.env.STATE_kept}`)",
    )
    report = run(uses("one", "./hello"), container=DEBIAN, settings={"workspace": workspace})
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "hello world from /__w/place/place/hello /__e/node24/bin/node" in report.log("one")
    assert "post yes" in report.log("__post_one")


def test_an_image_without_glibc_says_what_node_needs(run: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "place"
    write_action(workspace, "hello", "name: hello\nruns: {using: node24, main: main.js}\n", main_js="")
    report = run(uses("one", "./hello"), settings={"workspace": workspace})
    assert "node 24 does not run in the job's container" in report.result.message


@pytest.fixture
def musl_image(engine_address: str) -> str:
    """An image that has the loader of musl, as Alpine has it: this machine's own, or an empty file of its name."""
    name = f"lib/ld-musl-{os.uname().machine}.so.1"
    real = Path("/", name)
    content = real.read_bytes() if real.exists() else b""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path in (name, f"lib/libc.musl-{os.uname().machine}.so.1"):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    with contextlib.closing(connect(engine_address)) as client:
        container = client.create_container(BUSYBOX, "true")["Id"]
        try:
            client.put_archive(container, "/", archive.getvalue())
            client.commit(container, "flow-test/musl", "1")
        finally:
            client.remove_container(container)
    return "flow-test/musl:1"


def test_an_image_with_musl_gets_a_node_for_musl(run: Any, tmp_path: Path, musl_image: str) -> None:
    workspace = tmp_path / "place"
    write_action(workspace, "hello", "name: hello\nruns: {using: node24, main: main.js}\n", main_js="")
    pip = offer_node(tmp_path / "wheels", f"musllinux_1_2_{os.uname().machine}")
    settings = {"workspace": workspace, "environment": {**pip, "HOME": str(tmp_path)}}
    report = run(uses("one", "./hello"), container=musl_image, settings=settings)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "node runs /__w/place/place/hello/main.js" in report.log("one")


def test_what_stands_in_a_jobs_home_is_not_heard_where_a_node_is_brought_for_all(
    run: Any, tmp_path: Path, musl_image: str
) -> None:
    workspace = tmp_path / "place"
    write_action(workspace, "hello", "name: hello\nruns: {using: node24, main: main.js}\n", main_js="")
    pip = offer_node(tmp_path / "wheels", f"musllinux_1_2_{os.uname().machine}")
    nonsense = tmp_path / "started.sh"
    nonsense.write_text(
        'mkdir -p ~/.config/pip; printf "[global]\\ntimeout = x\\n" | tee ~/.config/pip/pip.conf'
    )
    settings = {
        "workspace": workspace,
        "environment": pip,
        "has_own_home": True,
        "hook_job_started": str(nonsense),
    }
    report = run(uses("one", "./hello"), container=musl_image, settings=settings)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert "timeout = x" in report.log("__hook_started")


def test_the_contexts_know_the_container(run: Any) -> None:
    report = run(script("one", "echo ${{ job.container.id }} ${{ job.container.network }}; hostname"))
    line, hostname = report.output_of("one")
    container, network = line.split()
    assert container.startswith(hostname)
    assert network.startswith(report.folder.tracking_id)


def test_bash_is_used_where_it_is_asked_for(run: Any) -> None:
    report = run(
        script("one", "[[ a == a ]] && echo $BASH_VERSION", shell="bash"), container={"image": DEBIAN}
    )
    assert report.output_of("one")[0][0].isdigit()


def test_a_shell_that_the_image_lacks_is_said(run: Any) -> None:
    report = run(script("one", "true", shell="bash"))
    assert report.conclusion is Conclusion.FAILURE
    assert "bash" in report.result.message


def test_environment_volumes_and_options_take_effect(run: Any) -> None:
    report = run(
        script("one", "echo $MINE; echo kept > /data/x; cat /data/x; id -u; df -m /dev/shm | tail -1"),
        container={
            "image": BUSYBOX,
            "env": {"MINE": "${{ matrix.size }}"},
            "volumes": ["data:/data"],
            "options": "--user 0:0 --shm-size=8m --ulimit nofile=100:200 --memory 256m --cpus 1",
        },
        matrix={"size": "big"},
    )
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert report.output_of("one")[:3] == ["big", "kept", "0"]
    assert " 8 " in report.output_of("one")[3]


def test_an_image_that_cannot_be_had_ends_the_job_before_its_first_step(run: Any) -> None:
    report = run(script("one", "true"), container="127.0.0.1:1/nothing:1")
    assert report.own_steps() == {"__containers": "failure", "__stop_containers": "success"}
    assert str(report.result.failure_kind) == "image"


def test_an_empty_image_means_no_container(run: Any) -> None:
    report = run(script("one", "pwd"), container="${{ matrix.image }}", matrix={"image": ""})
    assert report.conclusion is Conclusion.SUCCESS
    assert not report.output_of("one")[0].startswith("/__w")


def test_a_python_action_runs_on_the_machine_and_sees_the_jobs_files(run: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "place"
    write_action(
        workspace,
        "look",
        "name: look\ninputs: {file: {}}\noutputs: {text: {}}\nruns: {using: python, main: main.py}\n",
        main_py="import os, pathlib\n"
        "text = pathlib.Path(os.environ['INPUT_FILE']).read_text()\n"
        "pathlib.Path(os.environ['GITHUB_OUTPUT']).write_text('text=' + text)\n"
        "print(os.environ['GITHUB_WORKSPACE'])\n",
    )
    report = run(
        script("one", "echo made inside > $GITHUB_WORKSPACE/note"),
        uses("two", "./look", with_={"file": "${{ github.workspace }}/note"}),
        script("three", "echo ${{ steps.two.outputs.text }}"),
        settings={"workspace": workspace},
    )
    assert report.output_of("three") == ["made inside"], report.log()
    assert report.output_of("two") == [str(workspace)]


def test_problem_matchers_find_files_of_the_container(run: Any, tmp_path: Path) -> None:
    workspace = tmp_path / "place"
    workspace.mkdir()
    (workspace / "code.c").touch()
    pattern = {"regexp": "^(.+):(\\d+): (.+)$", "file": 1, "line": 2, "message": 3}
    (workspace / "matcher.json").write_text(
        json.dumps({"problemMatcher": [{"owner": "x", "pattern": [pattern]}]})
    )
    report = run(
        script("one", "echo ::add-matcher::$GITHUB_WORKSPACE/matcher.json"),
        script("two", "echo $GITHUB_WORKSPACE/code.c:7: broken"),
        settings={"workspace": workspace},
    )
    [problem] = report.annotations()
    assert (problem.file, problem.line, problem.message) == ("code.c", 7, "broken")


def test_a_step_may_work_in_a_folder_of_the_image(run: Any) -> None:
    report = run(
        script("one", "pwd", working_directory="/tmp"), script("two", "pwd", working_directory="/gone")
    )
    assert report.output_of("one") == ["/tmp"]
    assert "cannot start 'sh' in the job's container (/gone)" in report.result.message


EAT = "tail /dev/zero"  # reads a line that never ends: as much memory as it can have
SMALL = {"image": BUSYBOX, "options": "--memory 32m"}
KILLED = "The kernel killed a process of its container: the memory was used up."


def test_a_child_that_was_killed_for_memory_is_told_of_though_the_step_succeeds(run: Any) -> None:
    report = run(script("one", f"{EAT} || echo went on"), script("two", "true"), container=SMALL)
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    assert f"##[warning]{KILLED}" in report.log("one")
    assert KILLED not in report.log("two"), "it is said once"


def test_a_step_that_failed_for_memory_in_a_container_is_no_fault_of_the_users(run: Any) -> None:
    report = run(script("one", f"exec {EAT}"), container=SMALL)
    assert (report.conclusion, report.result.failure_kind) == (Conclusion.FAILURE, FailureKind.OOM)
    assert report.result.message == f"Process completed with exit code 137. {KILLED}"
    other = run(script("one", "kill -9 $$"), container=SMALL)
    assert other.result.failure_kind is FailureKind.USER


def test_a_service_that_ran_out_of_memory_says_so(run: Any) -> None:
    service = {
        "image": BUSYBOX,
        "options": "--memory 32m --entrypoint sh",
        "command": f'-c "{EAT}; sleep 600"',
    }
    report = run(script("one", "true"), services={"db": service})
    assert "The kernel killed a process of the service 'db': the memory was used up" in report.log(), (
        report.log()
    )


def test_gpus_without_the_nvidia_toolkit_are_one_sentence(run: Any) -> None:
    report = run(script("one", "true"), settings={"gpus": ("GPU-a",)})
    assert (report.conclusion, report.result.failure_kind) == (Conclusion.FAILURE, FailureKind.INFRASTRUCTURE)
    assert "it does not know the NVIDIA container toolkit" in report.result.message
    assert "nvidia-ctk runtime configure" in report.result.message
    assert "select device driver" not in report.result.message


def test_what_steps_compute_in_the_container_is_the_jobs(run: Any) -> None:
    burn = "end=$(($(date +%s) + 5)); while [ $(date +%s) -lt $end ]; do i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; done"
    report = run(script("one", burn))
    assert report.conclusion is Conclusion.SUCCESS, report.log()
    used = report.steps()["one"].used
    assert isinstance(used, dict)
    assert used["cpu_percent"] > 5
    assert used["memory_peak_bytes"] > 0
