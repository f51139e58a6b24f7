"""The `git` command, run so that neither a flow nor a repository can make it do anything but fetch.

No shell; no prompt; no hook, filter, submodule or helper protocol; a time limit and a limit on what may pile up on
disk. Credentials come from git's configuration (credential helpers, `http.extraHeader`, ssh keys): that of whoever runs us,
for the daemon's jobs the owner's file alone (`agent.resolve.sources.owners_config`).
Credentials inside a URL are taken out of it and handed over in the environment: arguments are for all to see.
"""

import base64
import contextlib
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from agent.errors import AgentError, NotFoundError, RefusedError, UnreachableError
from agent.redaction import redact
from agent.resolve.sources.moves import find_move, find_wait
from agent.resolve.sources.owners_config import secluded
from agent.trees import walk_tree

_PROTOCOLS = "https:http:ssh:file"

# Of the host's environment git is given these; GIT_DIR and its kind would lead it elsewhere.
_KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK", "GIT_SSH_COMMAND", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_GLOBAL",
    "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
)  # fmt: skip

_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.interactive=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "http.followRedirects=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
    "init.defaultBranch=main",
    "maintenance.auto=false",
    "protocol.ext.allow=never",
    "submodule.recurse=false",
)

_POLL_SECONDS = 0.05
_ASKED_TOO_OFTEN = re.compile(r"returned error: 429")
_REDIRECTED = re.compile(r"returned error: 30[12378]")


class MovedError(NotFoundError):
    """The host answers with a redirect. `place` is the URL that it leads to, "" when that can't be told."""

    def __init__(self, url: str, place: str) -> None:
        hint = (
            f"it is now at {place}" if place else "its host sends us somewhere else, and not to a repository"
        )
        super().__init__("the repository has moved", where=url, hint=hint)
        self.place = place


class BusyHostError(UnreachableError):
    """The host has been asked too often. `seconds`: so long it wants not to be asked."""

    def __init__(self, url: str, seconds: float) -> None:
        super().__init__(
            "the git host has been asked too often",
            where=url,
            hint=f"it wants not to be asked for {seconds:.0f} seconds; a mirror in AGENT_ACTIONS_URL can be asked instead",
        )
        self.seconds = seconds


def run_git(
    arguments: Sequence[str],
    *,
    url: str = "",
    ssh_options: Sequence[str] = (),
    folder: Path | None = None,
    seconds: float = 60,
    limit_bytes: int | None = None,
    data: bytes = b"",
) -> bytes:
    """Run `git ARGUMENTS` on `data` and give its output. `{url}` among the arguments stands for `url`, without credentials.

    `ssh_options` go to ssh before all that its own files say. `folder` is a bare repository to work on; with `limit_bytes` git is ended when that folder outgrows it. Raises
    NotFoundError (no such repository or ref), MovedError (it is somewhere else), RefusedError (too big, or not ours to read), UnreachableError (nobody
    answered, or not in `seconds`), AgentError with git's own words for anything else.
    """
    bare_url, environment = _hide_credentials(url)
    if ssh_options:  # the command is the shell's to read, so it is left as it is
        own = git_environment()["GIT_SSH_COMMAND"]
        environment = {**environment, "GIT_SSH_COMMAND": f"{own} {shlex.join(ssh_options)}"}
    command = ["git", *(part for setting in _CONFIG for part in ("-c", setting))]
    if folder is not None:
        command.append(f"--git-dir={folder}")
    command += [bare_url if argument == "{url}" else argument for argument in arguments]
    process = _start(command, environment, has_input=bool(data))
    try:
        output, errors = _await(process, data, folder, seconds, limit_bytes, redact(url))
    except BaseException:
        _kill(process)
        raise
    if process.returncode:
        said = errors.decode("utf-8", "replace")
        if _REDIRECTED.search(said):
            raise MovedError(url, find_move(bare_url))
        if _ASKED_TOO_OFTEN.search(said):
            raise BusyHostError(redact(url), find_wait(bare_url))
        raise explain(said, redact(url), has_login=bool(urlsplit(url).password))
    return output


def git_environment() -> dict[str, str]:
    """The environment that git runs in."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    kept.setdefault("GIT_SSH_COMMAND", "ssh -oBatchMode=yes -oConnectTimeout=20")
    return {
        **kept,
        **secluded(os.environ),
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
    }


def explain(errors: str, where: str, *, has_login: bool = False) -> AgentError:
    """What git's stderr means, as an error for a user. `has_login`: the address had a user and a password in it."""
    # What the other side says (`remote: ...`) may be anything; git's own lines decide.
    lines = [
        line
        for line in redact(errors).splitlines()
        if line.startswith(("fatal:", "error:", "ssh:", "ERROR:"))
    ]
    said = " ".join(lines)
    words = "".join(
        c if c.isprintable() else "?" for c in (lines[0] if lines else "git failed without a word")
    )
    if has_login and _LOGIN_REFUSED.search(said):
        hint = f"check the user and the password in AGENT_ACTIONS_URL, or in the address itself [{words}]"
        return NotFoundError("the git host does not take the login of this address", where=where, hint=hint)
    for pattern, kind, what, hint in _MEANINGS:
        if pattern.search(said):
            return kind(what, where=where, hint=f"{hint} [{words}]" if hint else words)
    return AgentError(f"git failed: {words}", where=where)


_LOGIN_REFUSED = re.compile(
    r"could not read (?:username|password)|authentication failed|error: 40[13]", re.IGNORECASE
)
_MEANINGS: tuple[tuple[re.Pattern[str], type[AgentError], str, str], ...] = (
    (
        re.compile(r"find remote ref|not our ref|unadvertised object|bad object|no such ref", re.IGNORECASE),
        NotFoundError,
        "the repository has no such commit",
        "",
    ),
    (
        re.compile(r"dubious ownership"),
        RefusedError,
        "the repository belongs to another user",
        "let git trust it: git config --global --add safe.directory FOLDER",
    ),
    (
        re.compile(
            r"early eof|empty reply|hung up|connection (?:was )?(?:reset|closed|aborted)|unexpected disconnect|rpc failed|"
            r"transfer closed|recv failure|unexpected eof|invalid index-pack",
            re.IGNORECASE,
        ),
        UnreachableError,
        "the git host broke off in the middle",
        "try again; if it happens each time, ask its operator, or name a mirror in AGENT_ACTIONS_URL",
    ),
    (
        re.compile(r"error: 5\d\d"),
        UnreachableError,
        "the git host answers with an error of its own",
        "try again later, or name a mirror in AGENT_ACTIONS_URL",
    ),
    (
        re.compile(
            r"resolve host|failed to connect|couldn't connect|connection (?:refused|timed)|timed out|"
            r"time-?out|too slow|no route|unreachable",
            re.IGNORECASE,
        ),
        UnreachableError,
        "the git host can't be reached",
        "check the address and the network, or name a mirror in AGENT_ACTIONS_URL",
    ),
    (
        re.compile(
            r"not found|does not (?:exist|appear)|not appear to be|could not read username|could not read password|"
            r"authentication failed|access denied|permission denied|error: 40[134]|not valid: is this a git",
            re.IGNORECASE,
        ),
        NotFoundError,
        "there is no such repository, or this machine may not read it",
        "check the name; for a private one give git credentials (docs/actions.md)",
    ),
)


def _hide_credentials(url: str) -> tuple[str, Mapping[str, str]]:
    """The URL without user and password, and the environment that carries them to git instead."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or "@" not in parts.netloc:
        return url, {}
    userinfo, _, host = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    pair = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode()
    bare = parts._replace(netloc=host).geturl()
    number = git_environment().get("GIT_CONFIG_COUNT", "0")
    return bare, {
        "GIT_CONFIG_COUNT": str(int(number) + 1),
        f"GIT_CONFIG_KEY_{number}": f"http.{parts.scheme}://{host}/.extraHeader",
        f"GIT_CONFIG_VALUE_{number}": f"Authorization: Basic {pair}",
    }


def _start(
    command: Sequence[str], environment: Mapping[str, str], *, has_input: bool
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**git_environment(), **environment},
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise AgentError("git is not installed", hint="install it: actions are fetched with git") from None


def _await(
    process: subprocess.Popen[bytes],
    data: bytes,
    folder: Path | None,
    seconds: float,
    limit_bytes: int | None,
    where: str,
) -> tuple[bytes, bytes]:
    deadline = time.monotonic() + seconds
    while True:
        watches = folder is not None and limit_bytes is not None
        try:
            return process.communicate(data or None, timeout=_POLL_SECONDS if watches else seconds)
        except subprocess.TimeoutExpired:
            if folder is not None and limit_bytes is not None and measure(folder) > limit_bytes:
                raise too_big(limit_bytes, where) from None
        if time.monotonic() > deadline:
            raise UnreachableError(
                f"git was not done after {seconds:.0f} s",
                where=where,
                hint="the host hangs, or the network is slow",
            )


def too_big(limit_bytes: int, where: str) -> RefusedError:
    """The error for a repository that outgrows its limit."""
    return RefusedError(
        f"the repository is larger than {limit_bytes // 1024**2} MiB",
        where=where,
        hint="keep an action in a repository of its own",
    )


def measure(folder: Path) -> int:
    """The bytes in all files below `folder`; files that vanish meanwhile count nothing."""
    total = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # it is gone, or a link
        for _file, _below, entries in walk_tree(folder):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_size
    return total


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and the helpers that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()
