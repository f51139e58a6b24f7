"""The table of commands, and what is the same for all of them: `--debug`, error lines, exit codes.

Only the module of the command that was asked for is imported, so that a quick command starts quickly.
"""

import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from agent.cli.arguments import CommandParser
from agent.cli.terminal.spelling import advise
from agent.cli.terminal.streams import is_unwritable, prepare_streams, silence_output
from agent.errors import AgentError, InterruptedByUserError, UsageError
from agent.full_disks import is_full, name_place

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("agent.cli.demo.command", "server, agent and a real flow, end to end, in a temporary folder"),
    "doctor": ("agent.cli.machine.doctor", "check this machine and show where each setting comes from"),
    "flow": (
        "agent.cli.flow.command",
        "validate, show, evaluate, run here, submit to or store on a server",
    ),
    "run": (
        "agent.cli.run.command",
        "list, watch, cancel, rerun and approve runs; download what they made",
    ),
    "action": ("agent.cli.action.command", "lock, verify, show and begin actions; the fetched ones on disk"),
    "artifact": ("agent.cli.artifact", "list, download and upload artifacts of a run"),
    "dataset": (
        "agent.cli.dataset.command",
        "datasets and their versions: list, push, pull, whence they came",
    ),
    "cache": ("agent.cli.cache", "list and delete what flows have cached"),
    "tag": ("agent.cli.tag", "put tags on runs, artifacts and datasets, list and take them off"),
    "secret": ("agent.cli.secret", "set, list and delete secrets"),
    "variable": ("agent.cli.variable", "set, list and delete variables"),
    "login": ("agent.cli.login", "remember the server and your access token"),
    "register": ("agent.cli.machine.register", "register this machine as an agent of a server"),
    "start": ("agent.cli.machine.start", "run this machine's agent"),
    "status": ("agent.cli.machine.status", "what this machine's agent is doing"),
    "drain": ("agent.cli.machine.drain", "take no new jobs; finish those that run"),
    "reserve": ("agent.cli.machine.reserve", "keep a GPU of this machine for a person, for some time"),
    "unregister": ("agent.cli.machine.unregister", "remove this machine from its server"),
    "machine": ("agent.cli.machine.inventory", "show what this machine would be registered with"),
    "tool": ("agent.cli.machine.tool", "offer this machine's Python, node and uv to the setup actions"),
    "completion": ("agent.cli.completion", "what makes your shell complete these commands"),
    "server": (
        "agent.cli.server.command",
        "run the server; look after its users, projects, agents and triggers",
    ),
}


def run_command(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code. Prints errors as `agent: what (where); what to do`."""
    words = [word for word in arguments if word != "--debug"]
    is_debug = len(words) != len(arguments)
    prepare_streams()
    try:
        try:
            return _dispatch(words)
        finally:
            sys.stdout.flush()  # here, where it is known what an error of it means
    except AgentError as error:
        if is_debug:
            raise
        return _report(error)
    except KeyboardInterrupt:
        return _report(InterruptedByUserError("interrupted"))
    except BrokenPipeError:  # the reader of our output (head, less) has gone: end as if killed by its signal
        silence_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if is_debug:
            raise
        return _report(_explain_refusal(error))
    except (
        Exception
    ) as error:  # a bug of ours: the user gets a sentence, and the traceback only when they ask for it
        if is_debug:
            raise
        return _report(_explain(error))


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
        return 0
    if words[0] == "--version":
        from agent import __version__

        sys.stdout.write(f"agent {__version__}\n")
        return 0
    if words[0] not in COMMANDS:
        kind = "option" if words[0].startswith("-") else "command"
        known = ("--help", "--version", "--debug") if kind == "option" else COMMANDS
        raise UsageError(f"there is no {kind} '{words[0]}'", hint=advise(words[0], known, "agent --help"))
    module = import_module(COMMANDS[words[0]][0])
    parser = CommandParser(prog=f"agent {words[0]}")
    module.configure(parser)
    parsed = parser.parse_args(words[1:])
    code: int = parsed.handler(parsed)
    return code


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {meaning}" for name, (_module, meaning) in COMMANDS.items()]
    return "\n".join(
        [
            "Automation for ML teams on GPU machines that they own.",
            "",
            "usage: agent COMMAND [--help] [--debug]",
            "",
            *lines,
            "",
            "example: agent demo",
            "",
        ]
    )


def _explain(error: Exception) -> AgentError:
    """What the user is told of an error that nobody expected."""
    if isinstance(error, UnicodeEncodeError) and "surrogates" in error.reason:
        return UsageError("a word of the command line is not UTF-8 text", hint="write it as UTF-8")
    what = f"a bug in the agent: {type(error).__name__}: {error}"
    return AgentError(what, hint="run the same command with --debug and report what it prints")


def _explain_refusal(error: OSError) -> AgentError:
    """What the user is told of what the machine refuses: a full disk, a folder that is not ours, too many open files."""
    if is_unwritable(error):
        silence_output()
        place = name_place(error, _list_written())  # none of them where it is the output's
        hint = "make room there" if place and is_full(error) else ""
        return AgentError(f"nothing can be written: {error.strerror}", where=place, hint=hint)
    return AgentError(f"the system says no: {error.strerror or error}", where=str(error.filename or ""))


def _list_written() -> list[Path]:
    """Where commands write."""
    import tempfile

    from agent.config import load_settings

    folders = [Path(tempfile.gettempdir())]
    with contextlib.suppress(AgentError):  # the settings are no better to be had than before
        settings = load_settings()
        folders += [settings.state_folder, settings.work_folder]
    return [*folders, Path.cwd()]


def _report(error: AgentError) -> int:
    with contextlib.suppress(OSError):  # nobody can be told
        sys.stdout.flush()
        sys.stderr.write(f"agent: {error}\n")
        sys.stderr.flush()
    return error.exit_code
