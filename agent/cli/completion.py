"""`agent completion`: what makes a shell complete our commands, written from the commands' own declarations."""

import argparse
import sys
from collections.abc import Callable, Sequence

from agent.cli.arguments import describe
from agent.cli.command_tree import Command, Option, read_commands

_BASH = """\
# bash completion of `agent`: agent completion bash > ~/.local/share/bash-completion/completions/agent
_agent() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} at=agent words= word i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        case "$at $word" in
            {paths}) at="$at $word" ;;
        esac
    done
    COMPREPLY=()
    case "$at|$prev" in
{values}
    esac
    case "$at" in
{words}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
}}
complete -o default -F _agent agent
"""
_ZSH = """\
#compdef agent
# zsh completion of `agent`: agent completion zsh > a folder of your $fpath, as _agent
_agent() {{
    local prev=${{words[CURRENT-1]}} at=agent word i
    for ((i = 2; i < CURRENT; i++)); do
        word=${{words[i]}}
        case "$at $word" in
            {paths}) at="$at $word" ;;
        esac
    done
    case "$at|$prev" in
{values}
    esac
    case "$at" in
{words}
    esac
    _files
}}
if [[ ${{funcstack[1]}} == _agent ]]; then _agent "$@"; else compdef _agent agent; fi
"""
_FISH = """\
# fish completion of `agent`: agent completion fish > ~/.config/fish/completions/agent.fish
function __agent_at
    set -l at agent
    for word in (commandline -opc)[2..]
        switch "$at $word"
            case {paths}
                set at "$at $word"
        end
    end
    test "$at" = "$argv[1]"
end
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    describe(
        parser,
        "Print what makes your shell complete `agent`.",
        "source <(agent completion bash)",
    )
    parser.add_argument("shell", choices=sorted(_WRITERS))
    parser.set_defaults(handler=_print)


def _print(arguments: argparse.Namespace) -> int:
    sys.stdout.write(_WRITERS[arguments.shell](read_commands()))
    return 0


def write_bash(commands: Sequence[Command]) -> str:
    """For bash."""
    words = [f'        "{_at(command)}") words="{" ".join(_words(command))}" ;;' for command in commands]
    return _BASH.format(
        paths=_bash_paths(commands),
        values="\n".join(
            _values(commands, 'COMPREPLY=($(compgen -W "{choices}" -- "$cur")); return', "return")
        ),
        words="\n".join(words),
    )


def write_zsh(commands: Sequence[Command]) -> str:
    """For zsh."""
    words = [
        f'        "{_at(command)}") compadd -- {" ".join(_words(command))} ;;'
        for command in commands
        if _words(command)
    ]
    return _ZSH.format(
        paths=_bash_paths(commands),
        values="\n".join(_values(commands, "compadd -- {choices}; return", "_files; return")),
        words="\n".join(words),
    )


def write_fish(commands: Sequence[Command]) -> str:
    """For fish."""
    lines = [_FISH.format(paths=" ".join(_quote(_at(command)) for command in commands if command.path))]
    for command in commands:
        condition = _quote(f"__agent_at '{_at(command)}'")
        if command.commands:
            lines.append(f"complete -c agent -n {condition} -f\n")
        lines += [
            f"complete -c agent -n {condition} -a {name} -d {_quote(meaning)}\n"
            for name, meaning in command.commands.items()
        ]
        if command.choices:
            lines.append(f"complete -c agent -n {condition} -f -a {_quote(' '.join(command.choices))}\n")
        lines += [
            f"complete -c agent -n {condition} {_fish_option(name, option)}\n"
            for name, option in command.options.items()
        ]
    return "".join(lines)


def _fish_option(name: str, option: Option) -> str:
    form = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
    meaning = f" -d {_quote(option.meaning)}" if option.meaning else ""
    if option.choices:
        return f"{form} -x -a {_quote(' '.join(option.choices))}{meaning}"
    return f"{form}{' -r' if option.takes_value else ''}{meaning}"


def _values(commands: Sequence[Command], with_choices: str, without: str) -> list[str]:
    """A case for each option that takes a value: its choices, else files."""
    lines, others = [], []
    for command in commands:
        for name, option in command.options.items():
            place = f'"{_at(command)}|{name}"'
            if option.choices:
                lines.append(f"        {place}) {with_choices.format(choices=' '.join(option.choices))} ;;")
            elif option.takes_value:
                others.append(place)
    return [*lines, f"        {'|'.join(others)}) {without} ;;"]


def _bash_paths(commands: Sequence[Command]) -> str:
    return "|".join(f'"{_at(command)}"' for command in commands if command.path)


def _words(command: Command) -> list[str]:
    return [*command.commands, *command.choices, *(name for name in command.options if name.startswith("--"))]


def _at(command: Command) -> str:
    return " ".join(("agent", *command.path))


def _quote(text: str) -> str:
    """A text in single quotes, as fish reads them."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_WRITERS: dict[str, Callable[[Sequence[Command]], str]] = {
    "bash": write_bash,
    "zsh": write_zsh,
    "fish": write_fish,
}
