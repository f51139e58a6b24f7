"""`agent action`: what `uses:` means here: locked, looked at, begun, kept on disk."""

import argparse
import sys
from pathlib import Path
from typing import Any

from agent.cli.arguments import CommandParser, add_command, add_format, add_subcommands, describe


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    describe(parser, "Work with actions, which steps name with `uses:`.", "agent action lock train.yml")
    commands = add_subcommands(parser)
    _configure_lock(commands)
    info = add_command(
        commands,
        "info",
        _info,
        "Show an action: inputs, outputs, how it runs, which commit it is.",
        "agent action info actions/checkout@v4",
    )
    info.add_argument("reference", metavar="REF", help="as behind `uses:`; ./PATH is a folder here")
    _add_places(info)
    check = add_command(
        commands,
        "check",
        _check,
        "Say all that is wrong with an action of yours: its manifest, expressions, files and uses; exit 1 for errors.",
        "agent action check my-action",
        "agent action check .",
    )
    check.add_argument(
        "folders",
        nargs="*",
        type=Path,
        default=[Path()],
        metavar="FOLDER",
        help="of an action (default: this one)",
    )
    add_format(check)
    _configure_init(commands)
    cache = add_command(
        commands,
        "cache",
        _cache,
        "The fetched actions that are kept on this machine.",
        "agent action cache list",
        "agent action cache prune --to '2 GiB'",
    )
    cache.add_argument("what", nargs="?", choices=["list", "prune", "size"], default="list")
    cache.add_argument("--to", metavar="SIZE", help="prune until this is left (default: AGENT_ACTIONS_LIMIT)")
    cache.add_argument(
        "--work-dir", metavar="DIR", help="of the agent whose actions are meant (AGENT_WORK_DIR)"
    )
    add_format(cache)


def _configure_init(commands: Any) -> None:
    init = add_command(
        commands,
        "init",
        _init,
        "Begin an action: a folder with action.yml, a README and a flow that tests it.",
        "agent action init my-action --using python",
    )
    init.add_argument(
        "folder", type=Path, metavar="DIR", help="a new folder, or one that has a README at most"
    )
    init.add_argument(
        "--using",
        choices=["composite", "python", "node", "docker", "cmd", "script", "human"],
        help="how it runs (default: composite, or the first that the manifest knows)",
    )
    init.add_argument(
        "--manifest",
        default="",
        metavar="NAME",
        help="the file that describes it, as another language has it: action-datatorch.yaml",
    )


def _configure_lock(commands: Any) -> None:
    lock = add_command(
        commands,
        "lock",
        _lock,
        "Pin the actions, called flows and images that flows use to what they are now, in flow.lock beside them; what is pinned stays.",
        "agent action lock train.yml",
    )
    update = add_command(
        commands,
        "update",
        _update,
        "Move pins to what their refs and tags are now.",
        "agent action update",
        "agent action update actions/checkout",
    )
    update.add_argument(
        "names", nargs="*", metavar="NAME", help="owner/repo[@ref], URL[@ref] or an image (default: all)"
    )
    update.add_argument(
        "--lock", type=Path, default=Path("flow.lock"), metavar="FILE", help="(default: ./flow.lock)"
    )
    verify = add_command(
        commands,
        "verify",
        _verify,
        "Say what differs between flows, flow.lock and what refs and tags are now; exit 1 when something does.",
        "agent action verify train.yml",
    )
    verify.add_argument("--offline", action="store_true", help="don't ask whether refs and tags have moved")
    for command in (lock, verify):
        command.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a flow")
    for command in (lock, update, verify):
        command.add_argument("--dialect", help="read as this language instead of finding out")
        command.add_argument(
            "--workspace", type=Path, metavar="DIR", help="where ./PATH is (default: the work tree)"
        )
        _add_places(command)


def _add_places(command: CommandParser) -> None:
    command.add_argument("--actions-url", help="where `uses:` looks (AGENT_ACTIONS_URL)")
    add_format(command)


def _lock(arguments: argparse.Namespace) -> int:
    from agent.cli.action.lock import lock_flows

    return lock_flows(arguments.files, _context(arguments), arguments.format, sys.stdout)


def _update(arguments: argparse.Namespace) -> int:
    from agent.cli.action.lock import update_pins

    return update_pins(arguments.lock, arguments.names, _context(arguments), arguments.format, sys.stdout)


def _verify(arguments: argparse.Namespace) -> int:
    from agent.cli.action.verify import verify_flows

    context = _context(arguments)
    return verify_flows(arguments.files, context, arguments.format, sys.stdout, is_offline=arguments.offline)


def _context(arguments: argparse.Namespace) -> Any:
    from agent.cli.local_files.uses import Context

    return Context(arguments.dialect, arguments.workspace, arguments.actions_url)


def _info(arguments: argparse.Namespace) -> int:
    from agent.cli.action.info import show_action

    return show_action(arguments.reference, arguments.actions_url, arguments.format, sys.stdout)


def _check(arguments: argparse.Namespace) -> int:
    from agent.cli.action.check import check_actions

    return check_actions(arguments.folders, arguments.format, sys.stdout)


def _init(arguments: argparse.Namespace) -> int:
    from agent.cli.action.init import begin_action

    return begin_action(arguments.folder, arguments.using or "", arguments.manifest, sys.stdout)


def _cache(arguments: argparse.Namespace) -> int:
    from agent.cli.action.cache import run_cache

    return run_cache(arguments.what, arguments.to, arguments.work_dir, arguments.format, sys.stdout)
