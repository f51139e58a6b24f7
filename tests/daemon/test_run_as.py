"""`agent start --run-as USER`: a real second user, the real daemon and its jobs, and what those try.

docs/security.md says what is kept apart by it.
"""

from pathlib import Path

import pytest
from support.daemon_process import wait_until
from support.fake_server import job_folders
from support.git import make_repository
from support.jobs import uses
from support.second_user import run, running_as

from agent.ids import JobId, RunId
from agent.job.attach.client import Attachment, Ended
from agent.job.launch.launcher import list_job_folders, request_cancel
from agent.spec.job import JobSpec, SpecStepKind, StepSpec, StepsWork
from agent.spec.outcome import Conclusion, FailureKind

pytestmark = pytest.mark.end_to_end

COMPOSITE = """name: T
runs:
  using: composite
  steps:
    - run: |
        echo genuine
        echo mine > "$GITHUB_ACTION_PATH/new" && echo own copy
      shell: bash
"""
PYTHON = "name: P\nruns: {using: python, main: main.py}\n"


def steps(job: str, *made: StepSpec) -> JobSpec:
    return JobSpec(RunId(1), JobId(job), "train", "train", StepsWork(made))


def try_reading(*files: object) -> str:
    """A script that says of each file whether it could be read or listed."""
    return "; ".join(f'if cat "{file}" || ls "{file}/"; then echo "READ {file}"; fi 2>&1' for file in files)


def try_writing(*files: object) -> str:
    return "; ".join(f'if echo x >> "{file}"; then echo "WROTE {file}"; fi 2>&1' for file in files)


async def test_a_job_is_its_user_and_nobody_else(server, open_state, user, new_jobs):
    look = 'id -u; id -G; echo "$USER $LOGNAME $HOME"; stat -c %U "$HOME" . "$RUNNER_TEMP"; grep -E "CapEff|NoNewPrivs" /proc/self/status'
    async with running_as(user, open_state):
        result, output = await run(server, new_jobs[0], look)
    assert result.conclusion is Conclusion.SUCCESS, output
    assert f"\n{user.uid}\n{user.gid}\n{user.name} {user.name} " in output
    assert output.count(f"\n{user.name}\n") >= 1
    assert "CapEff:\t0000000000000000\nNoNewPrivs:\t1" in output


async def test_a_job_reads_nothing_of_the_agents(server, open_state, user, new_jobs):
    state = open_state
    for name in ("policy.toml", "gitconfig"):  # as an editor leaves them
        (state.path / name).write_text("")
        (state.path / name).chmod(0o644)
    async with running_as(user, state):
        await server.assign(new_jobs[0], "echo hello; sleep 600")
        await server.wait_for(lambda: b"hello" in server.output(new_jobs[0]))
        (other,) = job_folders(state)
        private = [
            *(state.path, state.registration, state.identity, state.identity / "identity.json"),
            *(state.path / "policy.toml", state.path / "gitconfig", state.path / "daemon.log", state.lock),
            *(state.jobs, other, other / "journal", other / "settings.json", other / "control.sock"),
            *(state.path / "work", state.path / "work/_actions", "/etc/shadow"),
        ]
        look = f"{try_reading(*private)}; echo looked at {len(private)}"
        write = try_writing(
            *(f"{folder}/x" for folder in (state.path, state.path / "work", state.path / "work/_node"))
        )
        result, output = await run(server, new_jobs[1], f"{look}; {write}")
        request_cancel(list_job_folders(state.jobs)[0], "the test is over")
    assert f"looked at {len(private)}" in output
    assert "READ /" not in output.partition("##[endgroup]")[2]
    assert "WROTE /" not in output.partition("##[endgroup]")[2]
    assert result.conclusion is Conclusion.SUCCESS


async def test_a_job_can_neither_end_nor_look_into_what_is_the_agents(server, open_state, user, new_jobs):
    """The daemon, its fork server, the keeper beside the job; and no login of the owner's is in a process that it can look into."""
    (open_state.path / "gitconfig").write_text(
        '[http "https://git.example.org"]\n extraHeader = "Authorization: hunter2"\n'
    )
    attack = """
      set +e
      for process in /proc/[0-9]*; do
        name=$(cat "$process/comm" 2>&1); pid=${process#/proc/}
        case $name in flow-keeper) echo "saw a keeper" ;; esac
        if [ "$(stat -c %U "$process")" = root ] && kill -0 "$pid" 2>/dev/null && [ "$pid" != "$PPID" ]; then echo "COULD END $name"; fi
      done
      cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep hunter2 && echo LOGIN
      cat "/proc/$PPID/environ" "/proc/$PPID/mem" && echo READ; ls "/proc/$PPID/fd" && echo LISTED; true
    """
    async with running_as(user, open_state):
        result, output = await run(server, new_jobs[0], attack)
    assert result.conclusion is Conclusion.SUCCESS, output
    printed = output.partition("##[endgroup]")[2]
    assert "saw a keeper" in printed
    assert not [word for word in ("COULD END", "LOGIN", "READ", "LISTED") if f"\n{word}" in printed]


async def test_an_action_comes_from_a_store_that_no_job_can_write_and_is_the_jobs_own_copy(
    server, open_state, user, new_jobs
):
    place = open_state.path.parent / "git"
    make_repository(place / "acme/tool", {"action.yml": COMPOSITE})
    place.chmod(0o700)  # the owner's, not the job's user's
    store = open_state.path / "work/_actions"
    spec = steps(new_jobs[0], uses("acts", "acme/tool@v1"), uses("again", "acme/tool@v1"))
    async with running_as(user, open_state, AGENT_ACTIONS_URL=f"file://{place}/{{owner}}/{{repo}}"):
        result, output = await run(server, new_jobs[0], spec)
        entries = [str(path) for path in store.rglob("*")]
        _result, attack = await run(
            server, new_jobs[1], try_writing(*(f"{entry}/x" for entry in entries), *entries)
        )
    assert result.conclusion is Conclusion.SUCCESS, output
    assert output.count("genuine\nown copy\n") == 2
    assert len(entries) > 5
    assert "WROTE /" not in attack.partition("##[endgroup]")[2]


async def test_a_repository_of_the_machine_that_only_root_may_read_is_no_action(
    server, open_state, user, new_jobs
):
    place = open_state.path.parent / "secret"
    make_repository(place / "tool", {"action.yml": COMPOSITE})
    place.chmod(0o700)
    async with running_as(user, open_state):
        result, output = await run(
            server, new_jobs[0], steps(new_jobs[0], uses("acts", f"file://{place}/tool@v1"))
        )
    assert (result.conclusion, result.failure_kind) == (Conclusion.FAILURE, FailureKind.ACTION), output
    assert "genuine" not in output


async def test_what_a_python_action_needs_is_made_for_each_job_by_itself(server, open_state, user, new_jobs):
    place = open_state.path.parent / "git"
    files = {
        "action.yml": PYTHON,
        "main.py": "import sys; print('in', sys.prefix)",
        "requirements.txt": "# nothing\n",
    }
    make_repository(place / "acme/py", files)
    async with running_as(user, open_state, AGENT_ACTIONS_URL=f"file://{place}/{{owner}}/{{repo}}"):
        ran = [await run(server, job, steps(job, uses("acts", "acme/py@v1"))) for job in new_jobs[:2]]
    prefixes = [line for _result, output in ran for line in output.splitlines() if line.startswith("in /")]
    assert len(set(prefixes)) == 2
    assert [str(result.conclusion) for result, _output in ran] == ["success", "success"]


@pytest.mark.parametrize(
    ("name", "swap"),
    [
        ("GITHUB_ENV", 'ln -sf "$SECRET" "$GITHUB_ENV"'),
        ("GITHUB_OUTPUT", 'rm "$GITHUB_OUTPUT"; mkfifo "$GITHUB_OUTPUT"'),
        (
            "GITHUB_STEP_SUMMARY",
            'ln -f "$SECRET" "$GITHUB_STEP_SUMMARY" || ln -sf "$SECRET" "$GITHUB_STEP_SUMMARY"',
        ),
        ("GITHUB_STATE", 'd=$(dirname "$GITHUB_STATE"); mv "$d" "$d.old"; ln -s "$(dirname "$SECRET")" "$d"'),
    ],
)
async def test_a_command_file_that_is_swapped_shows_nothing_that_the_job_may_not_read(
    server, open_state, user, new_jobs, name, swap
):
    secret = open_state.path / "secret.env"
    secret.write_text("LEAKED=hunter2\n")
    spec = steps(
        new_jobs[0],
        StepSpec(SpecStepKind.RUN, "swap", run=f"SECRET={secret}; {swap}"),
        StepSpec(SpecStepKind.RUN, "look", run='echo "it is [$LEAKED]"', condition="always()"),
    )
    async with running_as(user, open_state):
        _result, output = await run(server, new_jobs[0], spec)
    assert "hunter2" not in output
    assert b"hunter2" not in server.journals[new_jobs[0], 1]


async def test_what_the_supervisor_reads_for_a_job_it_reads_as_the_jobs_user(
    server, open_state, user, new_jobs
):
    """Problem matchers, hashFiles, manifests of actions in the workspace: each may be a link to what root alone reads."""
    secret = open_state.path / "secret.yml"
    secret.write_text("name: hunter2\nruns: {using: node20, main: hunter2}\n")
    spec = steps(
        new_jobs[0],
        StepSpec(
            SpecStepKind.RUN,
            "swap",
            run=f"mkdir a; ln -s {secret} a/action.yml; ln -s {secret} m.json; echo '::add-matcher::m.json'",
        ),
        StepSpec(
            SpecStepKind.RUN, "hash", run="echo hash=[${{ hashFiles('m.json') }}]", condition="always()"
        ),
        uses("local", "./a", condition="always()"),
    )
    async with running_as(user, open_state):
        result, output = await run(server, new_jobs[0], spec)
    assert "hunter2" not in output
    assert "hashFiles failed: Permission denied" in output
    assert "action.yml can't be read: Permission denied" in output
    assert result.conclusion is Conclusion.FAILURE


async def test_a_hook_and_who_is_attached_are_the_jobs_user(server, open_state, user, new_jobs):
    hook = open_state.path.parent / "hook.sh"
    hook.write_text('echo "hook $(id -un)"')
    async with running_as(user, open_state, ACTIONS_RUNNER_HOOK_JOB_STARTED=str(hook)):
        await server.assign(new_jobs[0], "sleep 600")
        await wait_until(lambda: list_job_folders(open_state.jobs))
        (folder,) = list_job_folders(open_state.jobs)
        await server.wait_for(lambda: b"sleep 600" in server.output(new_jobs[0]))
        request = {
            "session": "attach_00000000000000000001",
            "user": "ada",
            "address": "10.0.0.7",
            "command": ["sh", "-c", "id -un; tty"],
            "terminal": {"rows": 24, "columns": 80, "kind": "vt100"},
        }
        guest = await Attachment.open(folder, request)
        shown = b""
        while not isinstance(said := await guest.receive(), Ended):
            shown += said.data
        guest.close()
        request_cancel(folder, "the test is over")
        await server.wait_for(lambda: server.result(new_jobs[0]))
    assert f"hook {user.name}\n" in server.output(new_jobs[0]).decode()
    assert shown.startswith(user.name.encode())
    assert b"/dev/pts/" in shown


async def test_nothing_of_a_job_is_left_when_it_is_over(server, open_state, user, new_jobs):
    mess = """
      mkdir -p deep/er; chmod 0 deep/er; chmod 500 deep; mkfifo pipe; ln -s / root
      mkdir "$HOME/.ssh"; touch "$RUNNER_TEMP/x"; chmod 0 "$RUNNER_TEMP" "$HOME"
      (setsid sleep 1000 &) ; (setsid env -u RUNNER_TRACKING_ID sh -c 'sleep 1001 & wait' &)
      chmod 0 "$GITHUB_WORKSPACE" "$RUNNER_WORKSPACE"; mv "$RUNNER_TEMP" "$RUNNER_TEMP.x" || echo can not swap
    """
    async with running_as(user, open_state) as daemon:
        result, output = await run(server, new_jobs[0], mess)
        await wait_until(lambda: not user.processes())
        await wait_until(lambda: _list(open_state.path / "work") == ["_actions", "_node", "_tool"])
        assert "Traceback" not in daemon.log
        assert "can't be removed" not in daemon.log
    assert "can not swap" in output
    assert result.conclusion in (Conclusion.SUCCESS, Conclusion.FAILURE)


def _list(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
