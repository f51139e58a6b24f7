"""The keeper: what a job that runs as a user of its own (`--run-as`) needs and that user may not have.

It is a process beside the supervisor that stays what the agent is, with no more rights than that, and answers the supervisor
alone, over a socket that nobody else can reach (the supervisor's memory and files are closed to the job's processes). It lives
as long as the supervisor does. It does a handful of things and takes no path from the job to do them:

    engine              a connection to the container engine (so the job's user need not be in the group `docker`)
    engine used         the job may have something there, having reached an engine that is no socket of this machine
    engine left         all that the job had at the engine is gone
    fetch               an action's repository, with the owner's git credentials, from the agent's store into the job's folder
    node, musl node     a node of our own, installed for all jobs where none of them can write
    logins              the agent's `docker login`

`agent.job.keeping.client` says how it is asked.
"""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from agent.errors import AgentError, RefusedError, UnreachableError
from agent.job.account.account import give_up_capabilities
from agent.job.containers.sweeping import engine_address, mark_engine_used, unmark_engine_used
from agent.job.folder.attempt import JobFolder
from agent.job.folder.settings import JobSettings
from agent.job.keeping.client import FETCHED, Keeper, describe_error
from agent.job.process.cgroup import JobGroup
from agent.job.process.proc import list_descendants, signal_all

if TYPE_CHECKING:
    from agent.resolve.fetching import Fetcher

_MOST_REQUEST_BYTES = 1 << 17
Answer = tuple[dict[str, Any], int | None]  # and a file to hand over, which is closed here afterwards


def start_keeper(folder: JobFolder, settings: JobSettings) -> Keeper:
    """Start the keeper of the job in `folder`. For a process that is nobody's parent yet, nor its descendants' reaper."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        _become_keeper(theirs, folder, settings)
    theirs.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    return Keeper(ours)


def _become_keeper(requests: socket.socket, folder: JobFolder, settings: JobSettings) -> NoReturn:
    """In the fork: be nobody's child, have no file but `requests`, and serve until the supervisor is gone."""
    status = 70
    try:
        if os.fork():
            os._exit(0)
        Path("/proc/self/comm").write_text("flow-keeper", encoding="ascii")
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nowhere, number)
        kept = os.dup(requests.fileno())
        os.closerange(3, kept)
        os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.umask(0o022)
        JobGroup(settings.job_groups, folder.tracking_id).enter()
        if os.geteuid() != 0:
            give_up_capabilities()
        _serve(socket.socket(fileno=kept), _Duties(folder, settings))
        status = 0
    finally:
        os._exit(status)


def _serve(requests: socket.socket, duties: "_Duties") -> None:
    with contextlib.suppress(OSError):
        while True:
            data, files, _flags, _address = socket.recv_fds(requests, _MOST_REQUEST_BYTES, 1)
            if not data:
                break
            threading.Thread(target=_answer, args=(duties, data, files[0]), daemon=True).start()
    signal_all(list_descendants(os.getpid()), signal.SIGKILL)  # git that is still at work


def _answer(duties: "_Duties", data: bytes, file: int) -> None:
    with socket.socket(fileno=file) as reply:
        handed: int | None = None
        try:
            answer, handed = duties.do(json.loads(data))
        except AgentError as error:
            answer = {"error": describe_error(error)}
        except Exception as error:  # noqa: BLE001 - a bug of ours: the job fails with it, and the keeper serves on
            answer = {"error": {"kind": "AgentError", "what": f"a bug in the agent: {error!r}"}}
        with contextlib.suppress(OSError):
            socket.send_fds(reply, [b"\n"], [] if handed is None else [handed])
            reply.sendall(json.dumps(answer).encode())
        if handed is not None:
            os.close(handed)


class _Duties:
    """What the keeper does."""

    def __init__(self, folder: JobFolder, settings: JobSettings) -> None:
        self._folder = folder
        self._settings = settings
        self._fetcher: Fetcher | None = None
        self._lock = threading.Lock()
        self._verbs: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "engine": self._reach_engine,
            "engine used": self._note_engine,
            "engine left": self._leave_engine,
            "logins": self._read_logins,
            "fetch": self._fetch,
            "node": self._install_node,
            "musl node": self._install_node,
        }

    def do(self, request: Mapping[str, Any]) -> Answer:
        """Answer one request. Raises AgentError."""
        return self._verbs[request["verb"]](request)

    def _reach_engine(self, _request: Mapping[str, Any]) -> Answer:
        from agent.containers.attach import open_unix_socket  # for jobs of another user alone

        address = engine_address(self._settings)
        mark_engine_used(self._folder)
        try:
            connection = open_unix_socket(address.removeprefix("unix://"))
        except OSError as error:
            raise UnreachableError(
                f"no container engine answers: {error.strerror or error}",
                where=address,
                hint="install and start Docker and let the agent's user use it (group docker), or name its socket in DOCKER_HOST",
            ) from None
        return {}, connection.detach()

    def _note_engine(self, _request: Mapping[str, Any]) -> Answer:
        mark_engine_used(self._folder)
        return {}, None

    def _leave_engine(self, _request: Mapping[str, Any]) -> Answer:
        unmark_engine_used(self._folder)
        return {}, None

    def _read_logins(self, _request: Mapping[str, Any]) -> Answer:
        folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")  # noqa: PTH111 - "~" may stay
        try:
            found = json.loads(Path(folder, "config.json").read_bytes())
        except (OSError, ValueError):
            found = {}
        return {"logins": found if isinstance(found, dict) else {}}, None

    def _fetch(self, request: Mapping[str, Any]) -> Answer:
        with self._lock:
            if self._fetcher is None:
                self._fetcher = self._make_fetcher()
        asked: list[str] = []

        def admit(place: str) -> None:
            if place not in request["admitted"]:
                asked.append(place)
                raise RefusedError("it has moved")

        try:
            fetched = self._fetcher.fetch(tuple(request["urls"]), request["ref"], admit)
        except RefusedError:
            if asked:
                return {"place": asked[0]}, None
            raise
        return {
            "root": str(fetched.root),
            "commit": fetched.commit,
            "origin": fetched.origin,
            "warnings": list(fetched.warnings),
        }, None

    def _make_fetcher(self) -> "Fetcher":
        from agent.resolve.fetching import Fetcher
        from agent.resolve.sources import git
        from agent.resolve.store import ActionStore

        settings = self._settings
        store = ActionStore(settings.action_folder, settings.actions_limit_bytes)
        copies = settings.work_folder / self._folder.name / FETCHED
        return Fetcher(store, copies, git.DEFAULT_LIMIT_BYTES)

    def _install_node(self, request: Mapping[str, Any]) -> Answer:
        from agent.job.runtimes.kept import clean_home
        from agent.job.runtimes.node_installation import install_musl_node, install_node

        install = install_musl_node if request["verb"] == "musl node" else install_node
        folder = self._settings.node_folder
        with clean_home(folder, self._settings.environment, is_needed=True) as environment:
            return {"node": install(folder, environment)}, None
