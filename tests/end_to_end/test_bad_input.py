"""What can go wrong, as a user meets it: a clear sentence, the right exit code, nothing half-written."""

import signal
import subprocess
from pathlib import Path

import pytest
from support.git import make_repository
from support.lab import Done, Lab, command_line, run_agent, wait_for


def check(done: Done, code: int, *words: str) -> None:
    """One sentence of ours, that has the words, and no traceback."""
    assert done.code == code, done.out + done.err
    assert done.err.startswith("agent: "), done.err
    for word in words:
        assert word in done.err, done.err
    assert "Traceback" not in done.out + done.err


def register(lab: Lab, token: str, url: str = "") -> Done:
    state = {"AGENT_STATE": str(lab.state("box"))}
    return lab.agent("register", "--url", url or lab.url, "--token", token, environment=state)


def test_a_wrong_token_registers_nothing(lab: Lab) -> None:
    check(register(lab, "fa_reg_" + "x" * 43), 1, "token")
    assert not (lab.state("box") / "identity").exists()
    assert not (lab.state("box") / "agent.json").exists()


def test_a_token_is_spent_by_its_use(lab: Lab) -> None:
    token = lab.agent("server", "token", "create", "--data", lab.data).out.strip()
    assert register(lab, token).code == 0
    second = {"AGENT_STATE": str(lab.state("second"))}
    again = lab.agent("register", "--url", lab.url, "--token", token, "--name", "second", environment=second)
    check(again, 1, "token", "used")
    assert not (lab.state("second") / "identity").exists()


def test_an_expired_token_says_so(lab: Lab) -> None:
    made = lab.agent("server", "token", "create", "--data", lab.data, "--expires", "1s")
    wait_for(
        lambda: (
            "expired" in (last := register(lab, made.out.strip())).err and check(last, 1, "token") is None
        ),
        "its end",
    )


def test_a_revoked_token_registers_nothing(lab: Lab) -> None:
    token = lab.agent("server", "token", "create", "--data", lab.data, "--name", "mine").out.strip()
    (mine,) = (row for row in lab.get("server", "token", "list", "--data", lab.data) if row["name"] == "mine")
    assert lab.agent("server", "token", "revoke", "--data", lab.data, mine["id"]).code == 0
    check(register(lab, token), 1, "token")


def test_a_server_that_is_not_there_is_named_with_its_url(lab: Lab) -> None:
    lab.kill("server")
    check(register(lab, lab.registration_token), 1, lab.url, "reached")
    check(lab.agent("run", "list"), 1, lab.url, "reached")


def test_a_wrong_access_token_is_refused(lab: Lab) -> None:
    check(lab.agent("run", "list", "--token", "fa_api_wrong"), 1, "token")


def test_an_unknown_key_stops_a_flow_before_anything_is_sent(lab: Lab) -> None:
    flow = lab.write_flow("  a:\n    runs_on: x\n    steps: [{run: 'true'}]\n")
    check(lab.agent("flow", "submit", flow), 2, f"{flow}:5:5", "runs_on", "did you mean `runs-on`?")
    assert lab.get("run", "list") == []


def test_a_name_that_is_not_there_is_said_and_the_flow_is_submitted(lab: Lab) -> None:
    flow = lab.write_flow("  a:\n    runs-on: self-hosted\n    steps: [{run: 'echo ${{ github.shaa }}'}]\n")
    done = lab.agent("flow", "submit", flow, "--source", "none")
    assert done.code == 0, done.err
    assert f"{flow}:6:19: warning: `github.shaa` is always empty" in done.err
    assert "did you mean `github.sha`?" in done.err


def test_an_unknown_secret_stops_a_run_of_a_strict_project_before_it_starts(lab: Lab) -> None:
    import httpx

    strict = httpx.patch(
        f"{lab.url}/api/v1/projects/default",
        headers={"Authorization": f"Bearer {lab.admin_token}"},
        json={"settings": {"strict_secrets": True}},
    )
    assert strict.status_code == 200
    flow = lab.write_flow(
        "  a:\n    runs-on: self-hosted\n    steps: [{run: 'echo ${{ secrets.NOBODY }}'}]\n"
    )
    check(lab.agent("flow", "submit", flow, "--source", "none"), 2, "NOBODY", "agent secret set")
    assert lab.get("run", "list") == []


def one_step(lab: Lab, step: str) -> Path:
    return lab.write_flow(f"  a:\n    runs-on: self-hosted\n    steps:\n      - {step}\n")


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("run: exit 3", "user", "exit code 3"),
        ("uses: acme/nothing@v1", "action", "acme/nothing"),
        ("uses: acme/tool@v9", "action", "v9"),
        ("uses: ./nowhere", "action", "nowhere"),
    ],
)
def test_a_step_that_cannot_go_on_fails_its_run_in_words(
    lab: Lab, tmp_path: Path, step: str, kind: str, words: str
) -> None:
    manifest = "name: tool\nruns: {using: composite, steps: [{run: 'true', shell: sh}]}\n"
    make_repository(tmp_path / "git" / "acme" / "tool", {"action.yml": manifest}, tags=("v1",))
    actions = {"AGENT_ACTIONS_URL": f"{(tmp_path / 'git').as_uri()}/{{owner}}/{{repo}}"}
    lab.add_agent("box", environment=actions)
    done = lab.agent("flow", "submit", one_step(lab, step), "--source", "none", "--follow")
    assert done.code == 1, done.out + done.err
    (job,) = lab.run(1)["jobs"]
    assert job["failure_kind"] == kind, job
    assert words in job["message"] + "\n".join(lab.lines(1, "a")), job


def test_an_artifact_path_that_is_absent_fails_the_step_when_that_is_an_error(lab: Lab) -> None:
    lab.add_agent("box")
    step = "{uses: flow-agent/upload-artifact@v1, with: {path: nothing/*.pt, if-no-files-found: error}}"
    run = lab.submit(one_step(lab, step))
    assert lab.wait_for_run(run)["conclusion"] == "failure"
    assert any("nothing/*.pt" in line for line in lab.lines(run, "a"))
    assert lab.get("artifact", "list", str(run)) == []
    check(lab.agent("artifact", "download", str(run)), 1, f"run {run}", "no artifacts")


def test_ctrl_c_while_following_leaves_the_run_running(lab: Lab) -> None:
    lab.add_agent("box")
    flow = one_step(lab, f"run: touch {lab.folder}/half; while [ ! -e {lab.folder}/go ]; do sleep 0.05; done")
    import os

    process = subprocess.Popen(
        command_line("flow", "submit", flow, "--source", "none", "--follow"),
        env={**os.environ, **lab.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for((lab.folder / "half").exists, "the job")
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=30)
    assert (process.returncode, "run 1 goes on" in err) == (130, True), err
    (lab.folder / "go").touch()
    assert lab.wait_for_run(1)["conclusion"] == "success"


def test_things_that_do_not_exist_are_named(lab: Lab) -> None:
    check(lab.agent("run", "show", "99"), 1, "99")
    check(lab.agent("run", "cancel", "99"), 1, "99")
    check(lab.agent("secret", "delete", "NOPE"), 1, "NOPE")


def test_wrong_use_exits_2_with_a_hint() -> None:
    check(run_agent("flow", "run"), 2, "say which flow", "--help")
    check(run_agent("flow", "run", "nowhere.yml"), 2, "nowhere.yml")
    check(run_agent("nonsense"), 2, "nonsense", "agent --help")
    check(run_agent("server", "token", "create", "--expires", "soon"), 2, "soon", "--expires")
    check(run_agent("run", "list"), 2, "no server is set", "agent login")


def test_an_agent_that_is_not_registered_says_how(tmp_path: Path) -> None:
    state = {"AGENT_STATE": str(tmp_path / "state")}
    check(run_agent("start", environment=state), 1, "register")


def test_a_flow_whose_name_is_no_utf8_is_submitted_as_it_is_run(lab: Lab) -> None:
    flow = lab.write_flow("  a: {runs-on: nobody, steps: [{run: 'true'}]}\n")
    odd = flow.rename(flow.with_name("b\udcff.yml"))
    run = lab.submit(odd)
    assert lab.run(run)["file"].endswith("/b\\xff.yml")


def test_a_word_that_is_no_utf8_is_not_taken_for_a_wrong_address(lab: Lab) -> None:
    flow = lab.write_flow("  a: {runs-on: nobody, steps: [{run: 'true'}]}\n")
    done = lab.agent("flow", "submit", flow, "--source", "none", "--var", "rate=5\udcff0")
    check(done, 2, "what is to be sent is not UTF-8 text; write the words of the command line")
