"""`agent unregister`: end this machine's registration."""

import argparse
import json
import sys
from typing import TextIO

from agent.cli.arguments import add_format, describe
from agent.config import Settings, load_settings


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Tell the server that this agent ends, and remove its keys. The agent must not run, and have no jobs left.",
        "agent unregister",
    )
    parser.add_argument("--local", action="store_true", help="forget it here only, without asking the server")
    add_format(parser)
    parser.set_defaults(
        handler=lambda arguments: run_unregister(
            load_settings(), is_local=arguments.local, output_format=arguments.format, out=sys.stdout
        )
    )


def run_unregister(
    settings: Settings, *, is_local: bool = False, output_format: str = "text", out: TextIO
) -> int:
    """Unregister; the exit code is 0. Raises the AgentErrors of `agent.daemon.farewell`."""
    from agent.daemon.farewell import unregister
    from agent.daemon.state import StateFolder

    registration = unregister(StateFolder(settings.state_folder.absolute()), is_local=is_local)
    if output_format == "json":
        out.write(json.dumps({"agent": registration.agent, "name": registration.name}) + "\n")
    else:
        where = "here; the server was not told" if is_local else f"with {registration.url}"
        out.write(f"{registration.name} is no longer registered {where}.\n")
    return 0
