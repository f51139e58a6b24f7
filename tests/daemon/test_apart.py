"""One job must not act upon the next one, which may be another project's: the real daemon, real git, real pip.

Both jobs run as the daemon's own user. What such a job can't be kept from is said in docs/policy.md.
"""

import os
from pathlib import Path

import pytest
from support.daemon_process import daemon_process
from support.fake_server import FakeServer
from support.git import make_repository, serve_git
from support.jobs import script, uses
from support.wire import job_spec

from agent.ids import ENTROPY_BYTES, JobId, RunId, make_id
from agent.spec.job import JobSpec, StepsWork
from agent.spec.outcome import Conclusion
from agent.wire import messages as m

pytestmark = pytest.mark.end_to_end

ACTION = "name: T\nruns:\n  using: composite\n  steps: [{run: echo %s, shell: bash}]\n"
PYTHON = "name: P\nruns: {using: python, main: main.py}\n"
PLANTED = "import sys; sys.stdout.write('planted\\n')"


@pytest.fixture
def jobs() -> list[str]:
    """Identifiers that no other test run has: stray processes of a job are found by them."""
    return [make_id("job", os.urandom(ENTROPY_BYTES)) for _ in range(3)]


def using(job: str, action: str) -> JobSpec:
    return JobSpec(RunId(1), JobId(job), "train", "train", StepsWork((uses("acts", action),)))


async def run(server: FakeServer, job: str, what: str | JobSpec) -> list[bytes]:
    """Run a script, or a job, to its end; what it printed."""
    spec = job_spec(job, what) if isinstance(what, str) else what
    await server.assign_spec(spec, 1, {})
    await server.wait_for(lambda: server.result(job))
    assert server.result(job).conclusion is Conclusion.SUCCESS, server.output(job).decode()
    return server.lines(job)


async def test_what_one_job_writes_into_its_home_no_other_job_sees(server, state, jobs, own_home):
    look = 'echo "home $HOME"; ls -A "$HOME" | sed "s/^/found /"; git config --global --list || true'
    async with daemon_process(state):
        first = await run(server, jobs[0], f"{look}; git config --global user.name mallory")
        second = await run(server, jobs[1], look)
    homes = [line for lines in (first, second) for line in lines if line.startswith(b"home /")]
    assert len(set(homes)) == 2
    assert not [line for line in (*first, *second) if line.startswith((b"found", b"user.name"))]
    assert list(own_home.iterdir()) == []
    assert not any(Path(home[5:].decode()).exists() for home in homes)


async def test_git_of_the_next_jobs_actions_reads_nothing_that_a_job_wrote(
    server, state, jobs, tmp_path, own_home
):
    make_repository(tmp_path / "git/acme/tool", {"action.yml": ACTION % "genuine"})
    make_repository(tmp_path / "evil/acme/tool", {"action.yml": ACTION % "swapped"})
    swap = f'[url "file://{tmp_path}/evil/"]\n  insteadOf = "file://{tmp_path}/git/"\n'
    attack = f"mkdir -p {own_home}/.config/git; printf '%s' '{swap}' | tee {own_home}/.gitconfig {own_home}/.config/git/config"
    async with daemon_process(state, AGENT_ACTIONS_URL=f"file://{tmp_path}/git/{{owner}}/{{repo}}"):
        await run(server, jobs[0], attack)
        second = await run(server, jobs[1], using(jobs[1], "acme/tool@v1"))
    assert b"genuine" in second
    assert b"swapped" not in second


async def test_a_login_that_a_job_leaves_in_the_home_is_not_used_for_the_next_jobs_actions(
    server, state, jobs, tmp_path, own_home
):
    make_repository(tmp_path / "git/acme/tool", {"action.yml": ACTION % "let in"})
    login = f"printf 'machine 127.0.0.1 login mallory password pw\\n' > {own_home}/.netrc"
    with serve_git(tmp_path / "git") as host:
        host.credentials = "mallory:pw"
        async with daemon_process(state, AGENT_ACTIONS_URL=f"{host.url}/{{owner}}/{{repo}}"):
            await run(server, jobs[0], login)
            await server.assign_spec(using(jobs[1], "acme/tool@v1"), 1, {})
            await server.wait_for(lambda: server.result(jobs[1]))
    assert "mallory" in (own_home / ".netrc").read_text()
    assert server.result(jobs[1]).conclusion is Conclusion.FAILURE
    assert b"let in" not in server.lines(jobs[1])


async def test_the_owners_git_configuration_counts_as_it_was_at_the_start(server, state, jobs, tmp_path):
    make_repository(tmp_path / "mirror/acme/tool", {"action.yml": ACTION % "mirrored"})
    make_repository(tmp_path / "evil/acme/tool", {"action.yml": ACTION % "swapped"})
    place = "https://git.example.org/"
    config = tmp_path / "owner.gitconfig"
    config.write_text(f'[url "file://{tmp_path}/mirror/"]\n  insteadOf = "{place}"\n')
    attack = f"sed -i s,/mirror/,/evil/, {config}"
    async with daemon_process(
        state, AGENT_ACTIONS_URL=f"{place}{{owner}}/{{repo}}", AGENT_GIT_CONFIG=str(config)
    ):
        await run(server, jobs[0], attack)
        second = await run(server, jobs[1], using(jobs[1], "acme/tool@v1"))
    assert "evil" in config.read_text()
    assert b"mirrored" in second


async def test_a_policy_that_a_job_rewrites_means_to_the_next_what_it_said_at_the_start(
    server, state, jobs, tmp_path
):
    make_repository(tmp_path / "git/acme/tool", {"action.yml": ACTION % "denied"})
    policy = state.path / "policy.toml"
    policy.write_text('[actions]\ndeny = ["acme/tool"]\n')
    async with daemon_process(state, AGENT_ACTIONS_URL=f"file://{tmp_path}/git/{{owner}}/{{repo}}") as daemon:
        await run(server, jobs[0], f"echo > {policy}")
        await server.assign_spec(using(jobs[1], "acme/tool@v1"), 1, {})
        await server.wait_for(lambda: server.result(jobs[1]))
        assert "counts when the agent is started again" in daemon.log
    assert "the policy of this machine doesn't allow this action" in server.result(jobs[1]).message
    assert b"denied" not in server.lines(jobs[1])


async def test_a_policy_that_a_job_deletes_is_no_leave_for_everything(server, state, jobs):
    policy = state.path / "policy.toml"
    policy.write_text('[actions]\ndeny = ["acme/tool"]\n')
    async with daemon_process(state):
        await run(server, jobs[0], f"rm {policy}")
        await server.assign(jobs[1], "echo let in")
        await server.wait_for(lambda: server.count(m.Refuse) or server.result(jobs[1]))
    (refusal,) = [event for event in server.heard if isinstance(event, m.Refuse)]
    assert "the policy of this machine is gone" in refusal.reason
    async with daemon_process(state) as daemon:
        assert await daemon.ended() == 1
        assert f"put it back; to do without one, remove {state.seen_policy}" in daemon.log
    policy.write_text("")
    async with daemon_process(state):
        assert b"let in" in await run(server, jobs[2], "echo let in")


async def test_what_a_job_plants_in_a_kept_environment_is_found_before_the_next_uses_it(
    server, state, jobs, tmp_path
):
    make_repository(
        tmp_path / "git/acme/py",
        {"action.yml": PYTHON, "main.py": "print('genuine')", "requirements.txt": "# nothing\n"},
    )
    kept = state.path / "work/_actions/_python"
    plant = f'for folder in {kept}/*/lib/python*/site-packages; do echo "{PLANTED}" > "$folder/x.pth"; echo at "$folder"; done'
    async with daemon_process(state, AGENT_ACTIONS_URL=f"file://{tmp_path}/git/{{owner}}/{{repo}}"):
        assert b"genuine" in await run(server, jobs[0], using(jobs[0], "acme/py@v1"))
        assert [line for line in await run(server, jobs[1], plant) if line.startswith(b"at /")]
        third = await run(server, jobs[2], using(jobs[2], "acme/py@v1"))
    assert b"genuine" in third
    assert b"planted" not in third
    assert not list(kept.rglob("x.pth"))


async def test_what_a_job_tells_pip_is_not_heard_where_an_environment_is_made_for_all(
    server, state, jobs, tmp_path
):
    make_repository(
        tmp_path / "git/acme/py",
        {"action.yml": PYTHON, "main.py": "print('genuine')", "requirements.txt": "# nothing\n"},
    )
    nonsense = "[global]\ntimeout = a job's own word\n"
    tell = f'mkdir -p ~/.config/pip ~/.pip; printf "{nonsense}" | tee ~/.config/pip/pip.conf ~/.pip/pip.conf; python3 -m pip list'
    steps = (script("tell", f"{tell} && exit 1 || echo pip hears it"), uses("acts", "acme/py@v1"))
    async with daemon_process(state, AGENT_ACTIONS_URL=f"file://{tmp_path}/git/{{owner}}/{{repo}}"):
        said = await run(
            server, jobs[0], JobSpec(RunId(1), JobId(jobs[0]), "train", "train", StepsWork(steps))
        )
    assert b"pip hears it" in said
    assert b"genuine" in said


async def test_the_owner_says_which_caches_jobs_share(server, state, jobs, tmp_path):
    (state.path / "policy.toml").write_text(f'[environment]\nHF_HOME = "{tmp_path}/hf"\n')
    async with daemon_process(state):
        assert f"{tmp_path}/hf".encode() in await run(server, jobs[0], "echo $HF_HOME")
