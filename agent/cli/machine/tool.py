"""`agent tool`: the machine's own Python, node and uv, offered to the actions that set up tools."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from agent.cli.arguments import add_command, add_format, add_subcommands, describe
from agent.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from agent.machine.tool_cache import CachedTool
    from agent.machine.tool_offers import ToolOffer

TOOLS = ("python", "node", "uv")
_INSTALLS = {
    "python": "install one (`uv python install {0}`, `pyenv install {0}`, your distribution's package)",
    "node": "install one (`nvm install {0}`, `fnm install {0}`, your distribution's package)",
    "uv": "install it (`pipx install uv`, `cargo install uv`)",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the sub-commands."""
    meaning = "The tool cache of this machine, in which setup-python, setup-node and setup-uv look first."
    describe(parser, meaning, "agent tool add python 3.11")
    commands = add_subcommands(parser)
    add = add_command(
        commands,
        "add",
        _add,
        "Offer this machine's own Python, node or uv to the setup actions: they take it, and ask nobody.",
        "agent tool add python 3.11",
        "agent tool add node --from /opt/node-20/bin/node",
    )
    add.add_argument("tool", choices=TOOLS)
    add.add_argument(
        "version",
        nargs="?",
        default="",
        metavar="VERSION",
        help="its beginning will do (default: the newest)",
    )
    add.add_argument("--from", dest="program", metavar="PROGRAM", help="this one, wherever it is")
    listing = add_command(
        commands,
        "list",
        _list,
        "What the tool cache has, and what this machine has beside it.",
        "agent tool list",
    )
    for command in (add, listing):
        command.add_argument("--work-dir", metavar="DIR", help="of the agent that is meant (AGENT_WORK_DIR)")
        add_format(command)


def add_tool(
    tool: str, version: str, program: str | None, work_folder: str | None, output_format: str, out: TextIO
) -> int:
    """Offer one. Raises NotFoundError when this machine has no such version, UsageError for a program that is none, AgentError."""
    from agent.cli.terminal.tables import print_json
    from agent.config import load_settings
    from agent.machine.tool_cache import matches, sort_key
    from agent.machine.tool_offers import ask_for_offer, find_offers

    if program is not None:
        offer = ask_for_offer(tool, program)
        if offer is None or not matches(offer.version, version):
            what = f"is no {tool}" if offer is None else f"is {tool} {offer.version}"
            raise UsageError(f"{program} {what}", where="--from")
    else:
        offers = sorted(find_offers(tool, os.environ), key=lambda each: sort_key(each.version))
        found = [each for each in offers if matches(each.version, version)]
        if not found:
            there = (
                f"there is {', '.join(dict.fromkeys(each.version for each in offers))}; " if offers else ""
            )
            hint = f"{there}{_INSTALLS[tool].format(version or '3.11')}, or name its program with --from"
            raise NotFoundError(f"this machine has no {tool} {version}".rstrip(), hint=hint)
        offer = found[-1]
    settings = load_settings({"work_dir": work_folder})
    tools = settings.work_folder.absolute() / "_tool"
    tools.mkdir(parents=True, exist_ok=True)
    cached = _offer(tools, offer)
    if output_format == "json":
        facts = {"tool": cached.name, "version": cached.version, "architecture": cached.architecture}
        print_json({**facts, "folder": str(cached.folder), "from": offer.executable}, out)
    else:
        out.write(f"{cached.name} {cached.version} ({offer.executable}) is in {cached.folder}\n")
    return 0


def _offer(tools: Path, offer: "ToolOffer") -> "CachedTool":
    """Put it into the cache; root does so as the user whose cache it is, and that jobs run as (`--run-as`)."""
    import pwd

    from agent.machine.tool_cache import find_cached, offer_tool

    owner = tools.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return offer_tool(tools, offer)
    from agent.job.account.account import find_account
    from agent.job.account.errand import run_errand

    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        raise UsageError(f"it is the user {owner}'s, whom nobody knows here", where=str(tools)) from None
    run_errand(find_account(name), "offer", str(tools), offer.tool, offer.version, offer.executable)
    return find_cached(tools, offer)


def list_tools(work_folder: str | None, output_format: str, out: TextIO) -> int:
    """Print what is in the cache, and what the machine has that is not."""
    from agent.cli.terminal.tables import print_json, print_table
    from agent.config import load_settings
    from agent.machine.tool_cache import list_cached

    tools = load_settings({"work_dir": work_folder}).work_folder.absolute() / "_tool"
    rows = [
        {"tool": each.name, "version": each.version, "state": "cached", "place": str(each.folder)}
        for each in list_cached(tools)
    ]
    rows += [
        {"tool": tool, "version": version, "state": "not offered", "place": program}
        for tool, version, program in find_unoffered(tools)
    ]
    if output_format == "json":
        print_json(rows, out)
    else:
        print_table(["tool", "version", "state", "place"], [[*row.values()] for row in rows], out, cuts=False)
        if any(row["state"] == "not offered" for row in rows):
            out.write("`agent tool add TOOL VERSION` offers one to setup-python, setup-node and setup-uv\n")
    return 0


def find_unoffered(tools: Path) -> list[tuple[str, str, str]]:
    """(tool, version, program) of what the machine has and its tool cache has not; each version once, the newest first."""
    from agent.machine.tool_cache import place_of, sort_key
    from agent.machine.tool_offers import find_offers

    found: dict[tuple[str, str], str] = {}
    for tool in TOOLS:
        for offer in sorted(
            find_offers(tool, os.environ), key=lambda each: sort_key(each.version), reverse=True
        ):
            if not place_of(tools, tool, offer.version).is_dir():
                found.setdefault((tool, offer.version), offer.executable)
    return [(*name, program) for name, program in found.items()]


def _add(arguments: argparse.Namespace) -> int:
    words = (arguments.tool, arguments.version, arguments.program, arguments.work_dir, arguments.format)
    return add_tool(*words, sys.stdout)


def _list(arguments: argparse.Namespace) -> int:
    return list_tools(arguments.work_dir, arguments.format, sys.stdout)
