"""The small parts of the daemon: what jobs inherit, how long to wait, why a supervisor died, what the state says."""

import shutil
from pathlib import Path

import pytest
from support.fake_server import SERVER_ID
from support.wire import AGENT, job_id

from agent.daemon.backoff import LONGEST_SECONDS, choose_pause
from agent.daemon.causes import Clues, count_oom_kills, explain_death, read_boot_id
from agent.daemon.local import ask_daemon, listen_locally
from agent.daemon.signing import sign_apart
from agent.daemon.state import Registration, StateFolder
from agent.errors import AgentError, DamagedError, NotFoundError, RefusedError
from agent.job.launch.launcher import JobFolder
from agent.job.process.inheritance import scrub_environment
from agent.seal.identity import create_identity, verify
from agent.spec.outcome import FailureKind

REGISTRATION = Registration(AGENT, SERVER_ID, "http://127.0.0.1:1", "box", ("a100",), max_jobs=3)


def test_jobs_inherit_what_makes_the_machine_usable_and_nothing_of_ours():
    kept = {
        "PATH": "/bin",
        "HOME": "/root",
        "LC_TIME": "C",
        "TZ": "UTC",
        "https_proxy": "http://proxy",
        "NO_PROXY": "*",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "NODE_EXTRA_CA_CERTS": "/etc/ca.pem",
        "REQUESTS_CA_BUNDLE": "/etc/ca.pem",
        "GIT_SSL_CAINFO": "/etc/ca.pem",
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "CUDA_HOME": "/usr/local/cuda",
        "NVIDIA_VISIBLE_DEVICES": "all",
    }
    dropped = {
        "AGENT_TOKEN": "x",
        "AGENT_STATE": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "LD_PRELOAD": "x",
        "PYTHONPATH": "x",
        "GITHUB_TOKEN": "x",
        "my_proxy": "x",
        "path": "x",
        "INVOCATION_ID": "x",
    }
    assert scrub_environment(kept | dropped) == kept


def test_pauses_double_up_to_a_limit_and_are_spread_over_the_upper_half():
    assert [choose_pause(failures, lambda: 1.0) for failures in (1, 2, 3)] == [0.25, 0.5, 1.0]
    assert choose_pause(1, lambda: 0.0) == 0.125
    assert choose_pause(10_000, lambda: 1.0) == LONGEST_SECONDS


def folder_with(tmp_path: Path, crash_log: str = "") -> JobFolder:
    folder = JobFolder(tmp_path, job_id(1), 1)
    if crash_log:
        folder.crash_log.write_text(crash_log)
    return folder


@pytest.mark.parametrize(
    ("crash_log", "clues", "kind", "word"),
    [
        ("", Clues(), FailureKind.LOST, "killed from outside"),
        ("", Clues(oom_kills=1), FailureKind.LOST, "out of memory"),
        ("", Clues(has_rebooted=True, oom_kills=1), FailureKind.LOST, "restarted"),
        (
            "Traceback:\n  ...\nOSError: boom\n\n",
            Clues(oom_kills=1),
            FailureKind.INFRASTRUCTURE,
            "OSError: boom",
        ),
    ],
)
def test_a_death_is_explained_by_the_best_clue(tmp_path, crash_log, clues, kind, word):
    found, sentence = explain_death(folder_with(tmp_path, crash_log), clues)
    assert found is kind
    assert word in sentence


def test_the_kernel_is_asked_for_clues():
    assert len(read_boot_id()) == 36
    assert count_oom_kills() >= 0


def test_a_registration_comes_back_as_it_was_saved(tmp_path):
    state = StateFolder(tmp_path / "state")
    state.make()
    state.save_registration(REGISTRATION)
    assert state.load_registration() == REGISTRATION
    state.set_draining(is_draining=True)
    state.forget_registration()
    assert not state.is_draining
    with pytest.raises(NotFoundError, match="not registered"):
        state.load_registration()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"agent": 3}'])
def test_a_damaged_registration_is_named(tmp_path, content):
    state = StateFolder(tmp_path)
    state.registration.write_bytes(content)
    with pytest.raises(DamagedError) as caught:
        state.load_registration()
    assert str(state.registration) in str(caught.value)


def test_a_state_has_one_daemon(tmp_path):
    state = StateFolder(tmp_path / "state")
    with state.hold_lock(), pytest.raises(RefusedError, match="already running"), state.hold_lock():
        pass
    with state.hold_lock():
        pass  # it is free again


def test_a_state_with_a_long_path_can_be_listened_on_and_asked(tmp_path):
    state = StateFolder(tmp_path / ("long" * 40))
    state.make()
    assert ask_daemon(state, {"verb": "status"}) is None
    with listen_locally(state):
        assert state.socket.stat().st_mode & 0o777 == 0o600
    assert ask_daemon(state, {"verb": "status"}) is None


def test_a_signature_made_apart_is_the_identitys(tmp_path):
    identity = create_identity()
    identity.save(tmp_path / "identity")
    assert verify(identity.public, b"message", sign_apart(tmp_path / "identity", b"message"))


def test_keys_that_others_can_read_are_not_signed_with(tmp_path):
    create_identity().save(tmp_path / "identity")
    (tmp_path / "identity").chmod(0o755)
    with pytest.raises(AgentError, match="chmod"):
        sign_apart(tmp_path / "identity", b"message")
    shutil.rmtree(tmp_path / "identity")
    with pytest.raises(AgentError, match="no identity"):
        sign_apart(tmp_path / "identity", b"message")
