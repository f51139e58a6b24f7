"""The owner's rules for images and containers: what a hostile server or flow asks for is refused, and the rule is named."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.docker import BUSYBOX
from support.jobs import run_job, script, uses

from agent.containers.blueprint import Blueprint
from agent.containers.options import OptionReader
from agent.containers.policy import ContainerPolicy
from agent.containers.policy_file import load_container_policy
from agent.errors import RefusedError, UsageError
from agent.spec.outcome import Conclusion

DIGEST = "sha256:" + "d" * 64


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    return file


def allows(policy: ContainerPolicy, image: str) -> bool:
    try:
        policy.require_image(image, "container")
    except RefusedError:
        return False
    return True


def test_a_file_grants_what_words_grant(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
[images]
allow = ["acme/*"]
local = ["acme/here"]
[containers]
allow = ["host-ipc"]
mounts = ["/data"]
devices = ["/dev/fuse"]
capabilities = ["cap_sys_admin"]
runtimes = ["nvidia"]
""",
    )
    granted = load_container_policy(file, ["privileged"]).granted
    assert granted == {
        *("image:acme/*", "local-image:acme/here", "host-ipc", "mount:/data", "device:/dev/fuse"),
        *("cap:SYS_ADMIN", "runtime:nvidia", "privileged"),
    }


def test_without_a_file_words_are_all_there_is(tmp_path: Path) -> None:
    assert load_container_policy(tmp_path / "none.toml", ["host-pid"]) == ContainerPolicy.parse(["host-pid"])
    with pytest.raises(UsageError, match="there is no policy file"):
        load_container_policy(tmp_path / "none.toml", must_exist=True)


@pytest.mark.parametrize(
    ("image", "is_allowed"),
    [
        ("python:3.12", True),
        ("python", True),
        ("docker.io/library/python:3.12", True),
        (f"python:3.12@{DIGEST}", True),
        ("pythonista/python:3", False),
        ("evil.example/python:3", False),
        ("registry.example.org:5000/team/x:1", True),
        ("REGISTRY.example.org/x", False),
    ],
)
def test_allow_meets_an_image_by_any_of_its_names(tmp_path: Path, image: str, is_allowed: bool) -> None:
    rules = '[images]\nallow = ["python:*", "registry.example.org:5000/*"]\n'
    assert allows(load_container_policy(write(tmp_path, rules)), image) is is_allowed


@pytest.mark.parametrize(
    "disguise",
    [
        *("evil/box", "evil/box:1", "docker.io/evil/box", "index.docker.io/evil/box:2", "EVIL/box"),
        *(f"evil/box@{DIGEST}", f"evil/box:1@{DIGEST}", "registry-1.docker.io/evil/box"),
        *("registry.hub.docker.com/evil/box", "docker.io:443/evil/box:1", "Index.Docker.IO.:443/evil/box"),
    ],
)
@pytest.mark.parametrize("pattern", ["evil/*", "docker.io/evil/*", "registry.hub.docker.com/evil/box*"])
def test_deny_looks_through_disguises_and_beats_allow(tmp_path: Path, disguise: str, pattern: str) -> None:
    rules = f'[images]\nallow = ["*"]\ndeny = ["{pattern}"]\n'
    assert not allows(load_container_policy(write(tmp_path, rules)), disguise)


@pytest.mark.parametrize(
    "disguise", ["reg.example/x", "reg.example:443/x:1", "REG.example./x", "reg.example:5000/x"]
)
def test_a_denied_registry_is_denied_at_each_port_and_with_a_dot_at_its_end(
    tmp_path: Path, disguise: str
) -> None:
    policy = load_container_policy(write(tmp_path, '[images]\ndeny = ["reg.example/*"]\n'))
    assert not allows(policy, disguise)
    assert allows(policy, "other.example/x")


def test_another_host_of_the_hub_is_no_way_around_allow(tmp_path: Path) -> None:
    policy = load_container_policy(write(tmp_path, '[images]\nallow = ["acme/*"]\n'))
    assert allows(policy, "registry.hub.docker.com/acme/x")
    assert not allows(policy, "docker.io:443/acme/x")
    assert not allows(policy, "registry.hub.docker.com:8080/acme/x")


def test_latest_can_be_denied_also_where_nobody_writes_it(tmp_path: Path) -> None:
    policy = load_container_policy(write(tmp_path, '[images]\ndeny = ["*:latest"]\n'))
    assert not allows(policy, "python")
    assert not allows(policy, f"python:latest@{DIGEST}")
    assert allows(policy, "python:3.12")


def test_an_allowed_tag_does_not_allow_what_a_lock_says_it_is(tmp_path: Path) -> None:
    policy = load_container_policy(write(tmp_path, '[images]\nallow = ["python:3.12"]\n'))
    assert allows(policy, "python:3.12")
    assert not allows(policy, f"python:3.12@{DIGEST}")


def test_an_empty_allow_allows_no_image(tmp_path: Path) -> None:
    assert not allows(load_container_policy(write(tmp_path, "[images]\nallow = []\n")), "python")


@pytest.mark.parametrize(
    "text",
    [
        "[image]\nallow = []",
        "images = 1",
        "[images]\nalow = []",
        "[images]\nallow = 'x'",
        "[images]\nrequire_pins = 'yes'",
        "[containers]\nallow = ['priviledged']",
        "[containers]\nallow = ['mount:/']",
        "[containers]\nmounts = [1]",
        "[containers]\nmounts = ['']",
        "[containers]\ndeny_options = ['sysctl']",
        "[containers]\nprivileged = true",
        "[containers]\nusers = 'root'",
    ],
)
def test_a_rule_that_is_not_understood_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError):
        load_container_policy(write(tmp_path, text))


def read_options(policy: ContainerPolicy, text: str) -> Blueprint:
    blueprint = Blueprint("x")
    OptionReader(blueprint, policy, [], "container").apply(text)
    blueprint.choose_user(policy, "container")
    return blueprint


@pytest.mark.parametrize("text", ["--network bridge", "--net=bridge", "--sysctl net.core.somaxconn=1"])
def test_options_can_be_denied_under_all_their_names(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, '[containers]\ndeny_options = ["--network", "--sysctl"]\n')
    with pytest.raises(RefusedError) as refused:
        read_options(load_container_policy(file), text)
    assert refused.value.hint.startswith(f"{file}: [containers] deny_options")


def test_containers_run_as_the_users_that_their_owner_lets_them_be(tmp_path: Path) -> None:
    policy = load_container_policy(write(tmp_path, '[containers]\nusers = ["1000:1000", "1001"]\n'))
    assert read_options(policy, "").config["User"] == "1000:1000"
    assert read_options(policy, "-u 1001").config["User"] == "1001"
    for user in ("0", "root", "1000", "1000:0"):
        with pytest.raises(RefusedError) as refused:
            read_options(policy, f"--user {user}")
        assert "[containers] users" in refused.value.hint


def refusal(
    tmp_path: Path,
    rules: str,
    engine: str = "unix:///nowhere",
    read_before: dict[str, Any] | None = None,
    **options: Any,
) -> str:
    """How a job ends that a server has sent to a machine with these rules; `read_before`: by its daemon, at its start."""
    settings = {
        "policy": read_before,
        "policy_file": write(tmp_path, rules),
        "policy_must_exist": True,
        "server_url": "http://127.0.0.1:1",
        "docker_host": engine,
    }
    steps = options.pop("steps", [script("one", "echo ran")])
    report = run_job(tmp_path, *steps, settings=settings, **options)
    assert report.conclusion is Conclusion.FAILURE
    assert "echo ran" not in report.log()
    return report.result.message


def test_a_hostile_server_cannot_say_away_a_policy_that_is_broken(tmp_path: Path) -> None:
    step = uses("one", "flow-agent/checkout@v1")
    assert "not valid TOML" in refusal(tmp_path, "[actions\n", steps=[step])


def test_a_hostile_server_cannot_bring_an_action_that_is_forbidden(tmp_path: Path) -> None:
    said = refusal(tmp_path, "[actions]\nallow = []\n", steps=[uses("one", "evil/tools@v1")])
    assert f"{tmp_path / 'policy.toml'}: nothing in `allow` names it" in said


RULES = """
[images]
deny = ["evil/*"]
[containers]
dockerfiles = false
deny_options = ["--add-host"]
users = ["1000:1000"]
"""


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"container": "evil/box:1"}, "[images] deny"),
        ({"services": {"db": "docker.io/evil/box"}}, "[images] deny"),
        ({"steps": [uses("one", "docker://evil/box")]}, "[images] deny"),
        ({"container": {"image": BUSYBOX, "options": "--privileged"}}, '[containers] allow = ["privileged"]'),
        ({"container": {"image": BUSYBOX, "volumes": ["/:/host"]}}, '[containers] mounts = ["/"]'),
        ({"container": {"image": BUSYBOX, "options": "--add-host a:1.2.3.4"}}, "[containers] deny_options"),
        ({"container": {"image": BUSYBOX, "options": "--user 0"}}, "[containers] users"),
        ({"services": {"db": {"image": BUSYBOX, "options": "-u root"}}}, "[containers] users"),
        ({"container": {"image": BUSYBOX, "options": "--pid host"}}, '[containers] allow = ["host-pid"]'),
    ],
)
def test_a_hostile_server_gets_nothing_that_the_owner_forbids(
    tmp_path: Path, engine_address: str, options: dict[str, Any], rule: str
) -> None:
    said = refusal(tmp_path, RULES, engine_address, **options)
    assert rule in said
    assert str(tmp_path / "policy.toml") in said


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"container": "evil/box:1"}, "[images] deny"),
        ({"services": {"db": "docker.io/evil/box"}}, "[images] deny"),
        ({"steps": [uses("one", "docker://evil/box")]}, "[images] deny"),
        ({"container": {"image": BUSYBOX, "options": "--add-host a:1.2.3.4"}}, "[containers] deny_options"),
        ({"steps": [uses("one", "bad/tools@v1")]}, "doesn't allow this action"),
    ],
)
def test_what_the_owner_had_said_before_any_job_ran_counts_and_not_what_a_job_writes(
    tmp_path: Path, engine_address: str, options: dict[str, Any], rule: str
) -> None:
    said_before = {**tomllib.loads(RULES), "actions": {"deny": ["bad/*"]}}
    assert rule in refusal(tmp_path, "", engine_address, said_before, **options)


def test_a_container_action_runs_as_the_user_that_the_owner_lets_it_be(
    tmp_path: Path, engine_address: str
) -> None:
    file = write(tmp_path, '[containers]\nusers = ["1234:1234"]\n')
    step = uses("one", f"docker://{BUSYBOX}", with_={"args": "id -u"})
    settings = {"policy_file": file, "docker_host": engine_address}
    report = run_job(tmp_path, step, settings=settings)
    assert report.output_of("one") == ["1234"], report.log()


def test_a_dockerfile_is_not_built_where_the_owner_wants_none(tmp_path: Path, engine_address: str) -> None:
    folder = tmp_path / "workspace" / "own"
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text("name: x\nruns: {using: docker, image: Dockerfile}\n")
    (folder / "Dockerfile").write_text(f"FROM {BUSYBOX}\n")
    settings = {
        "policy_file": write(tmp_path, RULES),
        "docker_host": engine_address,
        "workspace": tmp_path / "workspace",
    }
    report = run_job(tmp_path, uses("one", "./own"), settings=settings)
    assert report.conclusion is Conclusion.FAILURE
    assert "[containers] dockerfiles = false" in report.log("one")
