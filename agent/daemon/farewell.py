"""Unregistering: one connection that says goodbye, then this machine forgets who it was."""

import asyncio
import random
from functools import partial

from agent.daemon.connection import Connection, Link
from agent.daemon.generation import Generation
from agent.daemon.place import claim_place
from agent.daemon.signing import make_signer, sign_apart
from agent.daemon.state import Registration, StateFolder
from agent.daemon.state_access import accessible
from agent.errors import RefusedError, UnreachableError
from agent.job.launch.launcher import list_job_folders, may_run
from agent.machine.inventory import take_inventory
from agent.wire import messages as m

_GOODBYE_SECONDS = 30.0
_FINISH = "`agent start` and `agent drain`, then wait until `agent status` shows no jobs"


def unregister(state: StateFolder, *, is_local: bool = False) -> Registration:
    """Tell the server that this agent ends, and forget the registration. With `is_local` the server is not asked.

    Raises NotFoundError when this machine is not registered, RefusedError when the agent runs or has jobs that run,
    UnreachableError when the server can't be told, AgentError when the state can't be used: then nothing has changed.
    """
    with accessible(state):
        registration = state.load_registration()
        with state.hold_lock():
            if not is_local:
                claim_place(state)  # a copy that says goodbye would end the original's identity
            _check_idle(state, is_local=is_local)
            if not is_local:
                asyncio.run(_say_goodbye(state, registration))
            state.forget_registration()
    return registration


def _check_idle(state: StateFolder, *, is_local: bool) -> None:
    folders = list_job_folders(state.jobs)
    if any(may_run(folder) for folder in folders):
        raise RefusedError("jobs still run here", where=str(state.jobs), hint=_FINISH)
    if folders and not is_local:
        raise RefusedError(
            f"results of {len(folders)} jobs are not on the server yet", where=str(state.jobs), hint=_FINISH
        )


async def _say_goodbye(state: StateFolder, registration: Registration) -> None:
    async def obey(_message: m.ServerMessage, _connection: Connection) -> None:
        """Nothing is taken any more."""

    async def make_ready() -> m.Ready:
        return m.Ready(await asyncio.to_thread(take_inventory), (), max_jobs=1, is_draining=True)

    link = Link(
        registration,
        make_signer(registration, partial(sign_apart, state.identity)),
        make_ready=make_ready,
        obey=obey,
        generation=Generation(state.generation),
        random=random.SystemRandom().random,
    )
    link.leave()
    try:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            is_done = await link.attempt()
    except TimeoutError:
        is_done = False
    if not is_done:
        raise UnreachableError(
            f"the server could not be told: {link.problem or 'it does not answer'}",
            where=registration.url,
            hint="try again, or `agent unregister --local` to forget it here only",
        )
