"""`python -m agent.containers.sweep ADDRESS ROOT [JOB...]`: remove what jobs left at the engine, in a process of its own.

What belongs to jobs under ROOT goes: of the jobs named, or with `--but` before them, of all others. The daemon itself
never loads docker-py: it stays small.
"""

import asyncio
import sys
from collections.abc import Collection

from agent.containers.docker import DockerEngine
from agent.containers.engine import JOB_LABEL, ROOT_LABEL
from agent.errors import AgentError


def main(arguments: list[str]) -> int:
    """Sweep; the exit code is 1 when the engine does not answer."""
    address, root, *jobs = arguments
    spares = jobs[:1] == ["--but"]
    try:
        asyncio.run(_sweep(address, root, jobs[1:] if spares else jobs, spares=spares))
    except AgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - whoever started us reads it
        return 1
    return 0


async def _sweep(address: str, root: str, jobs: Collection[str], *, spares: bool) -> None:
    engine = await DockerEngine.connect(address)
    try:
        if spares:
            jobs = await engine.list_jobs(JOB_LABEL, {ROOT_LABEL: root}) - set(jobs)
        for job in jobs:
            await engine.sweep({ROOT_LABEL: root, JOB_LABEL: job})
    finally:
        await engine.close()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
