"""The process that runs one job and outlives the daemon: it needs neither daemon nor server to finish.

Where jobs run as a user of their own (`--run-as`) it opens what that user may not (journal, lock, socket, secrets), makes the
job's folders, and becomes that user before anything of the job is looked at: `agent.job.account`, `agent.job.keeping`.

Born by `agent.job.launch.launcher.fork_supervisor` with the folder's lock and its listening control socket in hand; it writes Closed
as the journal's last record whatever happens, and ends.
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping

from agent import __version__
from agent.errors import AgentError, DamagedError
from agent.job.account.account import become
from agent.job.commands.problem_matchers import ProblemMatchers
from agent.job.containers.sweeping import sweep_job
from agent.job.folder.attempt import JobFolder
from agent.job.folder.settings import JobSettings
from agent.job.keeping.client import Keeper
from agent.job.output.masking import Masker
from agent.job.output.recorder import Recorder
from agent.job.process.cgroup import JobGroup
from agent.job.process.ending import take_name
from agent.job.process.environment import JobEnvironment
from agent.job.process.proc import kill_tracked
from agent.job.process.processes import end_with, prepare_supervisor
from agent.job.steps.places import Places, choose_places, hand_over_places
from agent.job.steps.state import RunningJob, StepScope
from agent.job.supervisor.called_secrets import hand_on_secrets
from agent.job.supervisor.control import ControlServer
from agent.job.supervisor.keeper import start_keeper
from agent.job.supervisor.last_words import leave_word
from agent.job.supervisor.lifecycle import Lifecycle
from agent.machine.gpu_board import GpuBoard
from agent.plain_files import open_plain
from agent.spec.apps import sealed_name
from agent.spec.conventions import ID_TOKEN, RUNTIME_TOKEN, Conventions, find_conventions
from agent.spec.job import JobSpec, explain_unknown
from agent.spec.outcome import Conclusion, FailureKind, JobResult


def run(folder: JobFolder, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket) -> None:
    """Be the supervisor of `folder`: run its job and write the journal to its end.

    `secrets` of None means the sealed ones. `lock` is held, and `listener` listens, from before this process was made.
    """
    try:
        _supervise(folder, secrets, lock, listener)
    except BaseException as error:
        leave_word(folder, str(error) if isinstance(error, AgentError) else traceback.format_exc())
        raise


def _supervise(
    folder: JobFolder, secrets: Mapping[str, str] | None, lock: int, listener: socket.socket
) -> None:
    settings = _read_settings(folder)
    keeper = start_keeper(folder, settings) if settings and settings.run_as else None
    take_name(folder)
    _leave_home(folder, {lock, listener.fileno(), *([keeper.fileno()] if keeper else [])})
    prepare_supervisor()
    masker = Masker()
    recorder = Recorder(folder.journal, masker)
    stamp = settings.machine if settings else {}
    recorder.open(folder.job, folder.lease, {**_describe_machine(), **stamp})
    group = JobGroup(settings.job_groups if settings else None, folder.tracking_id)
    group.enter()
    try:
        result = asyncio.run(_run_job(folder, settings, secrets, recorder, listener, group, keeper))
    except AgentError as error:
        result = _infrastructure(masker.mask_text(str(error)))
        _clean_up(folder, group)
    except BaseException as error:  # noqa: BLE001 - a bug of ours must still end the journal; the crash log has it all
        traceback.print_exc()
        result = _infrastructure(
            f"a bug in the agent ended this job: {type(error).__name__}; see {folder.crash_log.name} in its folder"
        )
        _clean_up(folder, group)
    recorder.close(result)
    with contextlib.suppress(OSError):  # the job may have put something else there
        folder.control.unlink(missing_ok=True)


async def _run_job(
    folder: JobFolder,
    settings: JobSettings | None,
    secrets: Mapping[str, str] | None,
    recorder: Recorder,
    listener: socket.socket,
    group: JobGroup,
    keeper: Keeper | None,
) -> JobResult:
    log = recorder.begin_step("__set_up", "Set up job")
    spec, settings = folder.read_whole_spec(), settings or folder.read_settings()  # or DamagedError
    conventions = _find_words(spec)
    opened = dict(_open_sealed(folder, settings) if secrets is None else secrets)
    for value in opened.values():
        recorder.masker.add(value)
    token, id_token = opened.pop(RUNTIME_TOKEN, ""), opened.pop(ID_TOKEN, "")
    app_tokens = {place: opened.pop(sealed_name(place), "") for place in range(len(spec.apps))}
    visible = _visible_secrets(spec, opened, token if settings.server_url else "", conventions.own_token)
    places = choose_places(folder, spec, settings)
    board = GpuBoard.open(settings.gpu_board if settings.gpus else None)
    _become_the_jobs_user(settings, places)
    job = RunningJob(
        folder=folder,
        spec=spec,
        conventions=conventions,
        settings=settings,
        secrets=hand_on_secrets(spec, visible, conventions.own_token, recorder.masker),
        runtime_token=token,
        id_token=id_token,
        app_tokens=app_tokens,
        places=places,
        masker=recorder.masker,
        recorder=recorder,
        environment=JobEnvironment(_grant(settings, places), conventions),
        scope=StepScope(inputs=spec.context("inputs")),
        log=log,
        matchers=ProblemMatchers(places.workspace),
        group=group,
        keeper=keeper,
        board=board,
    )
    lifecycle = Lifecycle(job)
    control = ControlServer(listener, lifecycle, lifecycle.attachments.serve)
    await control.start()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lifecycle.cancel_by_signal)
    if settings.ends_with:
        end_with(settings.ends_with)
    try:
        return await lifecycle.run()
    finally:
        control.close()


def _find_words(spec: JobSpec) -> Conventions:
    """The conventions that the job expects. Raises AgentError when something that it asks for is not known here."""
    found, unknown = find_conventions(spec.conventions), explain_unknown(spec)
    if found is None or unknown:
        raise AgentError(f"this job can't be run: {unknown}")
    return found


def _become_the_jobs_user(settings: JobSettings, places: Places) -> None:
    """From here on there is nothing that the job's user may not do. Before: journal, lock, socket, secrets and control group."""
    account = settings.account
    if account is not None:
        from agent.resolve.sources.owners_config import seclude_git

        hand_over_places(places, account)
        become(account)
        seclude_git(
            os.environ, ()
        )  # the owner's logins are the keeper's: what git is told, this user can read


def _grant(settings: JobSettings, places: Places) -> dict[str, str]:
    """What the job inherits. Its HOME is no other job's, where it has its own: what git, pip and their like read there, it wrote."""
    own = {"HOME": str(places.home)} if settings.has_own_home else {}
    user = _describe_user()
    return {**user, **settings.environment, **(user if settings.run_as else {}), **own}


def _clean_up(folder: JobFolder, group: JobGroup) -> None:
    """End what a job leaves whose last phase, which does it otherwise, was not reached: Closed means that nothing is left."""
    group.kill()
    kill_tracked(folder.tracking_id)
    sweep_job(folder)


def _visible_secrets(spec: JobSpec, opened: Mapping[str, str], token: str, token_name: str) -> dict[str, str]:
    """The `secrets` context: what the job names, and its own token."""
    visible = {name: opened[name] for name in spec.secrets if name in opened}
    own_token = opened.get(token_name) or token
    if own_token:
        visible[token_name] = own_token
    return visible


def _open_sealed(folder: JobFolder, settings: JobSettings) -> dict[str, str]:
    sealed = folder.read_sealed()
    if not sealed:
        return {}
    if settings.identity_folder is None:
        raise AgentError("the job's secrets are sealed, and this agent has no identity to open them with")
    from agent.seal.identity import load_identity
    from agent.seal.secrets import open_sealed

    identity = load_identity(settings.identity_folder)
    return {
        name: open_sealed(identity, data, job_id=folder.job, lease=folder.lease, name=name).decode()
        for name, data in sealed.items()
    }


def _leave_home(folder: JobFolder, kept: set[int]) -> None:
    """A session of our own, standard streams that lead nowhere, and no file of the parent's but those `kept`."""
    with contextlib.suppress(PermissionError):  # the leader of a session is in its own already
        os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    crash_log = open_plain(folder.crash_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number, target in enumerate((nowhere, nowhere, crash_log)):
        os.dup2(target, number)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)
    first = 3
    for number in sorted(kept):
        os.closerange(first, number)
        first = number + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")


def _describe_user() -> dict[str, str]:
    """Who the job runs as: programs look for these."""
    import pwd

    try:
        user = pwd.getpwuid(os.geteuid())
    except KeyError:  # a user without an entry, as containers have them
        return {"HOME": "/tmp"}  # noqa: S108 - the one folder that such a user can count on
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def _describe_machine() -> dict[str, object]:
    """What the result was made on."""
    machine = os.uname()
    return {
        "agent_version": __version__,
        "kernel": f"{machine.sysname} {machine.release}",
        "arch": machine.machine,
        "hostname": machine.nodename,
        "python": ".".join(map(str, sys.version_info[:3])),
    }


def _read_settings(folder: JobFolder) -> JobSettings | None:
    """How this machine does it. Settings that can't be read end the job a moment later, saying so."""
    try:
        return folder.read_settings()
    except DamagedError:
        return None


def _infrastructure(message: str) -> JobResult:
    return JobResult(Conclusion.FAILURE, failure_kind=FailureKind.INFRASTRUCTURE, message=message)
