"""`python -m agent.containers.sweep`: remove what jobs left at the engine, in a process of its own.

The daemon itself never loads docker-py: it stays small.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.containers.docker import DockerEngine
from agent.containers.engine import JOB_LABEL, ROOT_LABEL
from agent.containers.ownership import take_ownership
from agent.errors import AgentError


def main(arguments: Sequence[str]) -> int:
    """Sweep; the exit code is 1 when the engine does not answer or refuses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("address", help="the engine's")
    parser.add_argument("root", help="only what belongs to jobs under this folder goes")
    parser.add_argument("jobs", nargs="*", help="of these jobs, by tracking id")
    parser.add_argument("--spare", action="store_true", help="of all others than these")
    parser.add_argument("--folder", type=Path, action="append", help="give its files back to us", default=[])
    parser.add_argument("--owner", type=_read_owner, help="to whom, if not to us, as UID:GID")
    try:
        asyncio.run(_sweep(parser.parse_args(arguments)))
    except AgentError as error:
        print(error, file=sys.stderr)  # noqa: T201 - whoever started us reads it
        return 1
    return 0


async def _sweep(wanted: argparse.Namespace) -> None:
    engine = await DockerEngine.connect(wanted.address)
    try:
        jobs = set(wanted.jobs)
        if wanted.spare:
            jobs = await engine.list_jobs(JOB_LABEL, {ROOT_LABEL: wanted.root}) - jobs
        for job in jobs:
            await engine.sweep({ROOT_LABEL: wanted.root, JOB_LABEL: job})
        for folder in wanted.folder:
            await take_ownership(engine, folder, {ROOT_LABEL: wanted.root}, wanted.owner)
    finally:
        await engine.close()


def _read_owner(text: str) -> tuple[int, int]:
    user, _, group = text.partition(":")
    return int(user), int(group)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
