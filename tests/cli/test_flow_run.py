"""`agent flow run`: the promises of docs/cli.md, with the real command."""

import contextlib
import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.git import make_repository, serve_git
from support.lab import Done, command_line, run_agent, wait_for

from agent.journal.file import JournalReader
from agent.journal.format import Log


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(project: Path, jobs: str, on: str = "workflow_dispatch") -> Path:
    flow = project / "flow.yml"
    flow.write_text(f"on: {on}\njobs:\n{jobs}")
    return flow


def run(project: Path, jobs: str, *options: str, **environment: str) -> Done:
    """Run a flow of these jobs, with JSON records."""
    flow = write(project, jobs)
    state = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}
    return run_agent(
        "flow", "run", flow, "--format", "json", *options, cwd=project, environment={**state, **environment}
    )


def of_kind(done: Done, kind: str) -> list[dict[str, Any]]:
    return [record for record in done.records() if record["kind"] == kind]


def texts(done: Done, job: str | None = None) -> list[str]:
    return [record["text"] for record in of_kind(done, "log") if job in (None, record["job"])]


ONE = """
  a:
    runs-on: self-hosted
    outputs: {x: "${{ steps.s.outputs.x }}"}
    steps:
      - id: s
        name: Say it
        run: |
          echo "x=1" >> "$GITHUB_OUTPUT"
          echo "hello"
"""


def test_the_records_are_those_of_the_contract(project: Path) -> None:
    done = run(project, ONE)
    assert done.code == 0, done.err
    assert "hello" in texts(done)
    (log,) = (record for record in of_kind(done, "log") if record["text"] == "hello")
    assert (log["job"], log["step"]) == ("a", "s")
    assert isinstance(log["time"], float)
    begun, ended = (record for record in of_kind(done, "step") if record["step"] == "s")
    assert (begun["state"], begun["name"]) == ("running", "Say it")
    assert (ended["state"], ended["outcome"], ended["conclusion"]) == ("completed", "success", "success")
    assert ended["outputs"] == {"x": "1"}
    assert ended["seconds"] >= 0
    (job,) = of_kind(done, "job")
    assert (job["job"], job["conclusion"], job["outputs"]) == ("a", "success", {"x": "1"})
    last = done.records()[-1]
    assert last["kind"] == "run"
    assert last["conclusion"] == "success"
    assert last["jobs"] == {"a": {"conclusion": "success", "outputs": {"x": "1"}}}


def test_a_failure_exits_1_and_an_invalid_file_2(project: Path) -> None:
    failed = run(project, "  a:\n    runs-on: x\n    steps: [{run: exit 7}]\n")
    assert failed.code == 1
    (job,) = of_kind(failed, "job")
    assert (job["conclusion"], job["failure_kind"]) == ("failure", "user")
    invalid = run(project, "  a:\n    steps: [{run: exit 7}]\n")
    assert (invalid.code, invalid.out) == (2, "")
    assert "flow.yml:" in invalid.err


def test_jobs_pass_outputs_and_a_failed_one_skips_its_dependants(project: Path) -> None:
    done = run(
        project,
        ONE
        + "  b:\n    needs: a\n    runs-on: x\n    steps: [{run: 'echo \"got ${{ needs.a.outputs.x }}\"; exit 1'}]\n  c:\n    needs: b\n    runs-on: x\n    steps: [{run: echo no}]\n",
    )
    assert "got 1" in texts(done, "b")
    assert {name: job["conclusion"] for name, job in done.records()[-1]["jobs"].items()} == {
        "a": "success",
        "b": "failure",
        "c": "skipped",
    }


def test_inputs_secrets_variables_environment_and_matrix_come_from_the_command_line(project: Path) -> None:
    flow = """
  a:
    runs-on: x
    strategy: {matrix: {v: [one, two]}}
    env: {FROM_FLOW: flow}
    steps:
      - run: 'echo "${{ matrix.v }} ${{ inputs.n }} ${{ github.event.inputs.n }} ${{ vars.V }} $ADDED $FROM_FLOW"'
      - run: test "${{ env.ADDED == format('{0}{1} odd {2}', '$', '{{', '}}') }}" = true
      - run: 'echo "${#S} letters, $S"'
        env: {S: "${{ secrets.S }}"}
"""
    project.joinpath("flow.yml").write_text("")
    on = "\n  workflow_dispatch:\n    inputs: {n: {type: number, default: 3}}"
    file = write(project, flow, on)
    options = (
        "--var",
        "V=var",
        "--env",
        "ADDED=${{ odd }}",
        "--secret",
        "S",
        "--matrix",
        "v:two",
        "--input",
        "n=4.5",
    )
    state = {"AGENT_STATE": str(project.parent / "state"), "S": "sesame-street"}
    done = run_agent("flow", "run", file, "--format", "json", *options, cwd=project, environment=state)
    assert done.code == 0, done.err + done.out
    assert "two 4.5 4.5 var ${{ odd }} flow" in texts(done)
    assert "13 letters, ***" in texts(done)
    assert list(done.records()[-1]["jobs"]) == ["a (two)"]
    assert "sesame-street" not in done.out


def test_a_wrong_input_stops_before_anything_starts(project: Path) -> None:
    wrong = run(project, ONE, "--input", "nope=1")
    assert (wrong.code, wrong.out) == (2, "")
    assert "nope" in wrong.err


def test_an_event_that_does_not_exist_is_refused_and_one_that_the_flow_does_not_have_is_told(
    project: Path,
) -> None:
    wrong = run(project, ONE, "--event", "pul_request")
    assert (wrong.code, wrong.out) == (2, "")
    assert "there is no event 'pul_request' (--event); did you mean pull_request?" in wrong.err
    other = run(project, ONE, "--event", "pull_request")
    assert other.code == 0
    assert "is not started by pull_request but by workflow_dispatch" in other.err


def test_a_folder_that_jobs_share_and_that_can_not_be_made_is_told_with_a_remedy(project: Path) -> None:
    done = run(project, ONE, AGENT_STATE="/proc/nowhere")
    assert done.code == 1
    assert "a folder that jobs share can't be made: No such file or directory (/proc/nowhere" in done.out
    assert "AGENT_STATE" in done.out


def test_a_secret_that_nobody_gave_is_empty_and_told_once_before_the_run_and_in_the_log(
    project: Path,
) -> None:
    flow = (
        "  a:\n    runs-on: x\n    steps: [{run: 'echo \"<${{ secrets.KEY }}>\" ${{ secrets.KEY || github.job }}'}]\n"
        "  b:\n    runs-on: x\n    steps: [{run: 'echo ${{ secrets.OTHER }}'}]\n"
    )
    done = run(project, flow, "--job", "a")
    assert done.code == 0
    assert "<> a" in texts(done)
    assert done.err.count("secret KEY is not set; it is empty") == 1
    assert "--secret KEY" in done.err
    assert "OTHER" not in done.err, "no job that names it was asked for"
    assert "Secret KEY is not set" in "\n".join(texts(done))


def test_the_payload_of_a_start_by_hand_brings_its_inputs(project: Path) -> None:
    event = project.parent / "event.json"
    event.write_text('{"inputs": {"n": "7"}, "ref": "refs/heads/main"}')
    on = "\n  workflow_dispatch:\n    inputs: {n: {type: number, required: true}, m: {default: x}}"
    flow = "  a:\n    runs-on: x\n    steps: [{run: 'echo ${{ inputs.n }} ${{ github.event.inputs.n }} ${{ github.event.inputs.m }}'}]\n"
    file = write(project, flow, on)
    state = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}

    def shown(*options: str) -> str:
        options = ("--event-file", str(event), "--format", "json", *options)
        return "\n".join(texts(run_agent("flow", "run", file, *options, cwd=project, environment=state)))

    assert "7 7 x" in shown()
    assert "9 9 x" in shown("--input", "n=9")


def test_inputs_that_are_missing_are_said_to_be_given_with_an_option(project: Path) -> None:
    on = "\n  workflow_dispatch:\n    inputs: {n: {required: true}, data: {required: true}, m: {default: x}}"
    file = write(project, "  a:\n    runs-on: x\n    steps: [{run: echo}]\n", on)
    done = run_agent("flow", "run", file, cwd=project)
    assert (done.code, done.out) == (2, "")
    assert "Input n is required, but not provided." in done.err
    assert "`--input n=VALUE --input data=VALUE`" in done.err
    one = run_agent("flow", "run", file, "--input", "N=3", cwd=project)
    assert "give what is missing: `--input data=VALUE`" in one.err


def test_secrets_come_from_a_file_too(project: Path) -> None:
    file = project.parent / "secrets.env"
    file.write_text("# mine\nKEY='swordfish'\n\n")
    flow = "  a:\n    runs-on: x\n    steps: [{run: 'test \"${{ secrets.KEY }}\" = swordfish'}]\n"
    assert run(project, flow, "--secret-file", str(file)).code == 0


def test_jobs_work_in_a_copy_unless_they_are_told_otherwise(project: Path) -> None:
    (project / "data.txt").write_text("mine")
    flow = "  a:\n    runs-on: x\n    steps: [{run: 'cat data.txt; echo changed > data.txt; touch new'}]\n"
    assert "mine" in texts(run(project, flow))
    assert (project / "data.txt").read_text() == "mine"
    assert not (project / "new").exists()
    assert run(project, flow, "--in-place").code == 0
    assert (project / "data.txt").read_text() == "changed\n"


def test_nothing_is_left_behind(project: Path) -> None:
    before = sorted(project.parent.iterdir())
    assert run(project, ONE).code == 0
    after = [entry for entry in sorted(project.parent.iterdir()) if entry.name != "state"]
    assert after == before
    left = [file for file in (project.parent / "state").rglob("*") if file.is_file()]
    assert left == []


def test_kept_folders_are_named(project: Path) -> None:
    done = run(project, ONE, "--keep")
    (warning,) = of_kind(done, "warning")
    folder = Path(warning["message"].split()[-1])
    assert list(folder.glob("jobs/*/journal"))


def start(project: Path, jobs: str) -> "subprocess.Popen[str]":
    flow = write(project, jobs)
    environment = {**os.environ, "AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}
    words = command_line("flow", "run", flow, "--format", "json", "--workspace", project)
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_the_jobs_and_exits_130(project: Path, number: int) -> None:
    half = project.parent / "half"
    process = start(
        project,
        f"""
  a:
    runs-on: x
    steps:
      - run: touch {half}; sleep 600
      - if: always()
        run: echo cleaned up
""",
    )
    wait_for(half.exists, "the step")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.startswith("agent: interrupted")
    records = [json.loads(line) for line in out.splitlines()]
    assert "cleaned up" in [record.get("text") for record in records]
    assert records[-1]["kind"] == "run"
    assert records[-1]["conclusion"] == "cancelled"


def test_a_second_ctrl_c_kills_what_does_not_end(project: Path) -> None:
    half, pid = project.parent / "half", project.parent / "pid"
    process = start(
        project,
        f"""
  a:
    runs-on: x
    steps:
      - run: trap '' INT TERM; echo $$ > {pid}; touch {half}; while true; do sleep 1; done
""",
    )
    wait_for(half.exists, "the step")
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    wait_for(lambda: "cancelling" in process.stdout.readline(), "the word that it is being cancelled")
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "killed" in err
    wait_for(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "the step's process to be gone")


def test_a_reader_that_goes_away_ends_the_run_and_all_that_it_started(project: Path) -> None:
    pid = project.parent / "pid"
    process = start(
        project,
        f"  a:\n    runs-on: x\n    steps: [{{run: 'echo $$ > {pid}; while true; do echo more; sleep 0.01; done'}}]\n",
    )
    assert process.stdout is not None
    wait_for(pid.exists, "the step")
    process.stdout.close()
    assert process.wait(timeout=60) == 128 + signal.SIGPIPE
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    wait_for(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "the step's process to be gone")


def test_github_token_reaches_actions_that_ask_for_it_by_themselves(project: Path) -> None:
    manifest = """
name: token
inputs: {token: {default: "${{ github.token }}"}}
runs: {using: composite, steps: [{shell: sh, run: 'echo "${#T} letters, $T"', env: {T: "${{ inputs.token }}"}}]}
"""
    (project / "action").mkdir()
    (project / "action" / "action.yml").write_text(manifest)
    done = run(
        project,
        "  a:\n    runs-on: x\n    steps: [{uses: ./action}]\n",
        "--secret",
        "GITHUB_TOKEN=ghs_abcdef",
    )
    assert "10 letters, ***" in texts(done), done.out


def test_an_action_comes_from_git_and_again_when_git_is_gone(project: Path) -> None:
    manifest = """
name: greet
inputs: {who: {default: nobody}}
outputs: {greeting: {value: "${{ steps.g.outputs.text }}"}}
runs:
  using: composite
  steps:
    - id: g
      shell: sh
      run: echo "text=hello ${{ inputs.who }}" >> "$GITHUB_OUTPUT"
"""
    git = project.parent / "git"
    flow = """
  a:
    runs-on: x
    steps:
      - {id: g, uses: acme/greet@v1, with: {who: world}}
      - run: echo "${{ steps.g.outputs.greeting }}"
"""
    make_repository(git / "acme" / "greet", {"action.yml": manifest}, tags=("v1",))
    with serve_git(git) as host:
        option = ("--actions-url", f"{host.url}/{{owner}}/{{repo}}")
        first = run(project, flow, *option)
    assert "hello world" in texts(first), first.out + first.err
    again = run(project, flow, *option)
    assert "hello world" in texts(again), again.out


def test_a_flow_outside_of_the_folder_names_its_workspace_without_dots(project: Path) -> None:
    (project.parent / "des.yml").write_text(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps: [{run: pwd}]\n"
    )
    done = run_agent("flow", "run", "../des.yml", "--format", "json", cwd=project)
    assert any(
        record["text"].endswith(f"/{project.name}/{project.name}")
        for record in done.records()
        if record["kind"] == "log"
    )


def test_what_is_said_after_an_unfinished_line_begins_on_one_of_its_own(project: Path) -> None:
    steps = """
      - run: printf begun
      - run: printf '\\r 10%%\\r 99%% killed'; exit 3
"""
    (project / "flow.yml").write_text(f"on: push\njobs:\n  a:\n    runs-on: x\n    steps:{steps}")
    words = ("flow", "run", "flow.yml", "--keep", "--format", "json")
    done = run_agent(*words, cwd=project, environment={"TMPDIR": str(project.parent)})
    texts = [record["text"] for record in done.records() if record["kind"] == "log"]
    assert texts[-2:] == [" 99% killed", "##[error]Process completed with exit code 3."], done.out
    (kept,) = [record["message"] for record in done.records() if record["kind"] == "warning"]
    (journal,) = Path(kept.rpartition(" ")[2]).rglob("journal")
    raw = b"".join(record.data for _end, record in JournalReader(journal) if isinstance(record, Log))
    assert b"begun\n##[group]" in raw
    assert b"\r 10%\r 99% killed\n##[error]" in raw


def test_an_attempts_artifact_takes_the_place_of_the_earlier_attempts(project: Path) -> None:
    flow = """
on: push
jobs:
  train:
    runs-on: x
    retry: {max: 2, backoff: {seconds: 0}}
    steps:
      - run: mkdir out; echo x >> ${{ github.workspace }}/../../../tries; cp ${{ github.workspace }}/../../../tries out/log
      - {uses: flow-agent/upload-artifact@v1, with: {name: logs, path: out}}
      - run: test $(wc -l < out/log) = 3
  look:
    needs: train
    runs-on: x
    steps:
      - {uses: flow-agent/download-artifact@v1, with: {name: logs, path: got}}
      - run: test $(wc -l < got/log) = 3
  other:
    needs: train
    runs-on: x
    steps: [{run: touch a}, {uses: flow-agent/upload-artifact@v1, with: {name: logs, path: a}}]
"""
    (project / "flow.yml").write_text(flow)
    done = run_agent("flow", "run", "flow.yml", "--format", "json", cwd=project)
    ends = {one["job"]: one["conclusion"] for one in done.records() if one["kind"] == "job"}
    assert (ends["train"], ends["look"], ends["other"]) == ("success", "success", "failure"), done.out
    assert "an artifact named 'logs' already" in done.out


def test_artifacts_pass_from_job_to_job(project: Path) -> None:
    done = run(
        project,
        """
  a:
    runs-on: x
    steps:
      - run: mkdir out; echo weights > out/model.bin
      - {uses: flow-agent/upload-artifact@v1, with: {name: model, path: out}}
  b:
    needs: a
    runs-on: x
    steps:
      - {uses: flow-agent/download-artifact@v1, with: {name: model, path: got}}
      - run: cat got/model.bin
""",
    )
    assert done.code == 0, done.out + done.err
    assert "weights" in texts(done, "b")


def test_text_shows_steps_output_and_the_end(project: Path) -> None:
    flow = write(project, ONE)
    state = {"AGENT_STATE": str(project.parent / "state")}
    done = run_agent("flow", "run", flow, cwd=project, environment=state)
    assert "● Say it" in done.out
    assert "  hello\n" in done.out
    assert "✓ Say it" in done.out
    assert "✓ run success" in done.out
    assert "\x1b[32m" not in done.out, "no colours of ours where there is no terminal"


def test_a_job_for_several_machines_runs_as_the_only_node_and_that_is_said(project: Path) -> None:
    steps = 'steps: [{run: "echo $AGENT_NODE_RANK of $AGENT_NODES at $MASTER_ADDR:${MASTER_PORT:?}"}]'
    done = run(project, f"  a: {{runs-on: self-hosted, nodes: 4, {steps}}}\n")
    assert done.code == 0, done.err
    assert any(text.startswith("0 of 1 at 127.0.0.1:") for text in texts(done)), texts(done)
    assert "a: it asks for 4 machines, and runs on this one alone" in [
        record["message"] for record in of_kind(done, "warning")
    ]


CELLS = """
  a:
    runs-on: self-hosted
    strategy: {matrix: {size: [small, big]}}
    steps:
      - run: |
          printf '\\r 10%%\\r 20%%\\r100%%\\n'
          echo size=${{ matrix.size }}
"""


def run_text(project: Path, jobs: str, *options: str, **environment: str) -> Done:
    state = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}
    where = {**state, **environment}
    return run_agent("flow", "run", write(project, jobs), *options, cwd=project, environment=where)


def test_in_a_pipe_each_line_of_a_cell_says_whose_it_is(project: Path) -> None:
    lines = run_text(project, CELLS).out.splitlines()
    for size in ("small", "big"):
        own = [line for line in lines if line.startswith(f"a ({size}) │ ")]
        assert f"a ({size}) │   size={size}" in own
        assert f"a ({size}) │   100%" in own
    assert not [line for line in lines if line.startswith(("  ", "●"))]


def test_json_has_a_line_in_its_last_state(project: Path) -> None:
    assert texts(run(project, CELLS), "a (big)").count("100%") == 1


def test_on_a_terminal_what_a_step_printed_stays_and_all_of_it_can_be_had(project: Path) -> None:
    jobs = "  a:\n    runs-on: x\n    steps: [{run: 'seq -f line-%g 1 30'}]\n"
    end = run_on_terminal(project, jobs)
    assert "… 20 lines above: --log all" in end
    assert "line-21" in end
    assert end.rstrip().splitlines()[-1].startswith("✓ run success")
    whole = run_on_terminal(project, jobs, "--log", "all")
    assert [f"line-{number}" for number in range(1, 31)] == [
        line.strip() for line in whole.splitlines() if line.strip().startswith("line-")
    ]


def run_on_terminal(project: Path, jobs: str, *options: str) -> str:
    """What a flow's run writes on a terminal, without colours."""
    environment = {"AGENT_STATE": str(project.parent / "state"), "TMPDIR": str(project.parent)}
    terminal = {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "24"}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_line("flow", "run", write(project, jobs), *options),
        cwd=project,
        env={**os.environ, **environment, **terminal},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while data := os.read(ours, 65536):
            written += data
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


def test_a_job_that_wants_to_prove_itself_is_told_once_that_a_local_run_has_nothing_for_it(
    project: Path,
) -> None:
    job = "runs-on: self-hosted, permissions: {id-token: write}, steps: [{run: 'echo ${ACTIONS_ID_TOKEN_REQUEST_URL:-none}'}]"
    done = run(project, f"  a: {{{job}}}\n  b: {{{job}}}\n")
    assert (done.code, texts(done).count("none")) == (0, 2), done.err
    (warning,) = of_kind(done, "warning")
    assert "a local run issues no OpenID Connect tokens" in warning["message"]
