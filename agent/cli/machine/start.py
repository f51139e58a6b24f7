"""`agent start`: be this machine's agent, in the foreground (systemd's business otherwise)."""

import argparse

from agent.cli.arguments import describe
from agent.config import Settings, load_settings


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Run this machine's agent until ctrl-C or SIGTERM. Jobs outlive it: the next start takes them over.",
        "agent start",
    )
    parser.add_argument("--work-dir", help="where jobs work (AGENT_WORK_DIR)")
    parser.add_argument(
        "--gpus",
        metavar="WHICH",
        help="the GPUs that it offers: all, none, or numbers and UUIDs (AGENT_GPU_SHARE)",
    )
    parser.add_argument("--run-as", metavar="USER", help="the user that jobs run as (AGENT_RUN_AS)")
    parser.add_argument(
        "--moved",
        action="store_true",
        help="the agent's state was moved here, and the original is gone for good",
    )
    parser.set_defaults(handler=_handle)


def _handle(arguments: argparse.Namespace) -> int:
    flags = {"work_dir": arguments.work_dir, "run_as": arguments.run_as, "gpu_share": arguments.gpus}
    return run_start(load_settings(flags), is_moved=arguments.moved)


def run_start(settings: Settings, *, is_moved: bool = False) -> int:
    """Run the daemon; 0 after SIGTERM or the end of an ephemeral agent. Events go to stderr, one line each.

    Raises the AgentErrors of `agent.daemon.daemon`.
    """
    from agent.daemon.daemon import log_to_stderr, run_daemon

    log_to_stderr()
    run_daemon(settings, is_moved=is_moved)
    return 0
