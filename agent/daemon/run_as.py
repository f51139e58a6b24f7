"""Preparation of a machine, at the daemon's start, for jobs that run as a user of their own (`--run-as`), or the reason why they can't.

STATE, the work folder          that user's group may go through them, and see nothing in them
everything else in STATE        for the agent alone: that user could name what lies there
WORK/_tool                      is that user's: what actions install for the jobs to come
WORK/_actions, WORK/_node       are the agent's (`agent.job.keeper`)
"""

import contextlib
import logging
import os
import stat
from pathlib import Path

from agent.daemon.state import StateFolder
from agent.errors import AgentError
from agent.job.account.account import Account, RunAsError, acting_as, find_account, join_group, require_power
from agent.job.account.errand import run_errand
from agent.plain_files import describe_kind

log = logging.getLogger("agent.daemon")

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_THROUGH = 0o710


def prepare_run_as(state: StateFolder, work_folder: Path, name: str) -> Account:
    """See to it that jobs can run as the user `name`. For a process of one thread.

    Raises UsageError for a user that there is not, or that is ours; RunAsError when we may not become it, when it can't
    run the agent's Python, or when it can't reach its folders or could write where it must not.
    """
    account = _find_usable(name)
    join_group(account)
    work_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _close(state.path, work_folder)
    for folder in (state.path, work_folder):
        if folder == state.path and not work_folder.is_relative_to(folder):
            continue
        _let_through(folder, account)
    for kept, mode in (("_actions", 0o700), ("_node", 0o755)):
        (work_folder / kept).mkdir(exist_ok=True)
        (work_folder / kept).chmod(mode)
    _try(account, work_folder)
    _give_tools(work_folder, account)
    return account


def check_run_as(work_folder: Path, name: str) -> Account:
    """Whether the next start could run jobs as the user `name`, as far as that can be seen now. Raises what `prepare_run_as` does."""
    account = _find_usable(name)
    if work_folder.exists():
        _try(account, work_folder)
    return account


def _find_usable(name: str) -> Account:
    account = find_account(name)
    require_power(account)
    return account


def _try(account: Account, work_folder: Path) -> None:
    said = run_errand(account, "check", str(work_folder))
    if said:
        what = f"jobs can't run as '{account.name}': {said}"
        raise RunAsError(what, where=str(work_folder), hint=_advise(said))


def _close(folder: Path, spared: Path) -> None:
    """Until now nobody could enter the state folder; what lies there may have had any rights."""
    folder.chmod(0o700)
    for entry in folder.iterdir():
        mode = entry.lstat().st_mode
        is_ours = stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISSOCK(mode)
        if is_ours and mode & _OTHERS and not spared.is_relative_to(entry):
            with contextlib.suppress(PermissionError):  # somebody else's, who lets everybody read it
                entry.chmod(stat.S_IMODE(mode) & ~_OTHERS)


def _let_through(folder: Path, account: Account) -> None:
    try:
        os.chown(folder, -1, account.gid)
        folder.chmod(_THROUGH)
    except OSError as error:
        raise RunAsError(
            f"'{account.name}' can't be let through this folder: {error.strerror}",
            where=str(folder),
            hint="it has to be the agent's own",
        ) from None


def _give_tools(work_folder: Path, account: Account) -> None:
    tools = work_folder / "_tool"
    if os.path.lexists(tools):
        facts = tools.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            raise AgentError(f"'{tools.name}' is {describe_kind(facts)}, no folder", where=str(tools))
        if facts.st_uid == account.uid:
            return
        aside = tools.with_name(f"_tool.before-{os.urandom(4).hex()}")
        tools.rename(aside)
        log.warning("tools of jobs that ran as another user are set aside and not used: rm -rf %s", aside)
    work_folder.chmod(_THROUGH | stat.S_IWGRP)
    try:
        with acting_as(account):
            tools.mkdir(mode=0o755)
    finally:
        work_folder.chmod(_THROUGH)


def _advise(said: str) -> str:
    if "Python" in said:
        return "install the agent where others may read it, as install.sh does in /opt/flow-agent"
    if "write" in said:
        return "take that right away, or name another folder with AGENT_WORK_DIR"
    return "let it through (chmod o+x), or name another folder with AGENT_WORK_DIR"
