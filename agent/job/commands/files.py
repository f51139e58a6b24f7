"""Command files, through which a step speaks; `agent.spec.conventions` says which variables name them.

Each process gets fresh ones, which are read when it has ended and then removed. The job may have done anything to
them: only a regular file is read, by the folder's own handle, and no link is followed.

While a process runs, nobody waits for us: that is when the next one's files are made, and those removed that the last one
left empty. What holds something is removed before the next process begins, which is not to see it; what was made early counts
only when nobody has touched it since.

Source: actions/runner `FileCommandManager.cs`; messages are GitHub's.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from agent.errors import AgentError
from agent.job.commands.effects import Effects
from agent.spec.conventions import CommandFile

_PREFIXES = {
    CommandFile.ENV: "set_env_",
    CommandFile.OUTPUT: "set_output_",
    CommandFile.STATE: "save_state_",
    CommandFile.PATH: "add_path_",
    CommandFile.SUMMARY: "step_summary_",
}
_MAX_FILE_BYTES = 64 << 20
_MAX_SUMMARY_BYTES = 1 << 20
_BLOCKED = ("NODE_OPTIONS",)
_State = tuple[int, int, int, int, int, int]


class FileCommandError(Exception):
    """A file that cannot be understood; its text is for the user."""


class CommandFolder:
    """The folder of all command files of a job. `variables` names those that it has."""

    def __init__(self, path: Path, variables: Mapping[CommandFile, str]) -> None:
        self._path = path
        self._variables = variables
        self._ready: CommandFiles | None = None  # made early
        self._used: list[CommandFiles] = []
        self._is_closed = False

    def take(self) -> "CommandFiles":
        """Files for a process that is about to begin. Raises AgentError when the folder is none any more."""
        ready, self._ready = self._ready, None
        if ready is not None:
            if ready.are_untouched():
                return ready
            ready.remove()
        return self.make()

    def make(self) -> "CommandFiles":
        """Files for a process beside the steps; `CommandFiles.remove` is their end. Raises AgentError."""
        return CommandFiles(self._path, self._variables)

    def give_back(self, files: "CommandFiles") -> None:
        """Nobody needs `files` any more."""
        self._used.append(files)

    def tidy(self, *, is_last: bool = False) -> None:
        """Remove what was given back, and make files for the next process, unless none is expected."""
        self._remove_used()
        if self._ready is None and not self._is_closed and not is_last:
            with contextlib.suppress(AgentError, OSError):  # `take` tries again, and tells
                self._ready = self.make()
                self._ready.remember()

    def close(self) -> None:
        """Remove what is left; nothing is made early any more."""
        self._is_closed = True
        if self._ready is not None:
            self._used.append(self._ready)
            self._ready = None
        self._remove_used()

    def _remove_used(self) -> None:
        while self._used:
            self._used.pop().remove()


class CommandFiles:
    """The files of one process. `variables` names them; `collect` reads them into effects, `remove` is their end."""

    def __init__(self, folder: Path, variables: Mapping[CommandFile, str]) -> None:
        self._folder = _open_folder(folder)
        token = os.urandom(16).hex()
        self._variables = variables
        self._names = {file: f"{_PREFIXES[file]}{token}" for file in variables}
        self._states: list[_State] = []
        self.variables = {variables[file]: f"{folder}/{name}" for file, name in self._names.items()}
        try:
            for name in self._names.values():
                os.mknod(name, stat.S_IFREG | 0o644, dir_fd=self._folder)
        except OSError:
            self.remove()
            raise

    @property
    def members(self) -> dict[str, str]:
        """The files as members of the context."""
        return {file.value: self.variables[variable] for file, variable in self._variables.items()}

    def remember(self) -> None:
        """Take note of how the files are, for `are_untouched`."""
        self._states = [_look(path) for path in self.variables.values()]

    def are_untouched(self) -> bool:
        """Whether the very files are where a process will look for them, empty, and under no other name."""
        try:
            return all(
                state == _look(path)
                for state, path in zip(self._states, self.variables.values(), strict=True)
            )
        except OSError:
            return False

    def collect(self, effects: Effects) -> str:
        """Add to `effects` what the process wrote; returns its summary. What is wrong goes to `effects.errors`.

        The files that are not empty are gone afterwards.
        """
        written = [file for file in self._variables if self._size(file) != 0]
        summary = ""
        for file in written:
            try:
                if file is CommandFile.SUMMARY:
                    summary = self._read_summary()
                elif text := self._read(file):
                    _USES[file](effects, text, self._variables[file])
            except FileCommandError as error:
                effects.errors += [f"Unable to process file command '{file}' successfully.", str(error)]
            self._unlink(file)
        return summary

    def remove(self) -> None:
        """Remove the files that are left. Nothing can be done with them afterwards."""
        for file in list(self._names):
            self._unlink(file)
        os.close(self._folder)

    def _read_summary(self) -> str:
        size = self._size(CommandFile.SUMMARY) or 0
        if size > _MAX_SUMMARY_BYTES:
            variable = self._variables[CommandFile.SUMMARY]
            raise FileCommandError(
                f"${variable} upload aborted, supports content up to a size of 1024k, got {size // 1024}k."
                " For more information see: https://docs.github.com/actions/using-workflows/"
                "workflow-commands-for-github-actions#adding-a-markdown-summary"
            )
        return self._read(CommandFile.SUMMARY)

    def _size(self, file: CommandFile) -> int | None:
        """How long the file is; None when it is gone, or no file any more."""
        try:
            information = os.stat(self._names[file], dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return None
        return information.st_size if stat.S_ISREG(information.st_mode) else None

    def _read(self, file: CommandFile) -> str:
        """The file's text; empty when it was removed."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        variable = self._variables[file]
        try:
            handle = os.open(self._names[file], flags, dir_fd=self._folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise FileCommandError(
                f"${variable} is not the file any more that the step was given: {error.strerror}"
            ) from None
        try:
            return _read_regular(handle, variable)
        finally:
            os.close(handle)

    def _unlink(self, file: CommandFile) -> None:
        with contextlib.suppress(OSError):  # the job has removed it, or made a folder of it
            os.unlink(self._names[file], dir_fd=self._folder)
        del self._names[file]


def _look(path: str) -> _State:
    """Which file this is, who may use it, how many names it has, and its size."""
    found = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - a Path each would cost more than the call
    return (found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_nlink, found.st_size)


def _open_folder(folder: Path) -> int:
    """A handle of the folder, which is made when it is not there (any more)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with contextlib.suppress(FileNotFoundError):
            return os.open(folder, flags)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(folder, flags)
    except OSError as error:
        raise AgentError(
            f"the folder of the command files is no folder any more: {error.strerror}", where=str(folder)
        ) from None


def _read_regular(file: int, variable: str) -> str:
    information = os.fstat(file)
    if not stat.S_ISREG(information.st_mode):
        raise FileCommandError(f"${variable} is not the file any more that the step was given")
    if information.st_size > _MAX_FILE_BYTES:
        raise FileCommandError(f"${variable} holds more than {_MAX_FILE_BYTES >> 20} MiB")
    pieces: list[bytes] = []
    while piece := os.read(file, _MAX_FILE_BYTES - sum(map(len, pieces))):
        pieces.append(piece)
    return b"".join(pieces).decode("utf-8-sig", "replace")


def parse_pairs(text: str) -> list[tuple[str, str]]:
    """The `NAME=VALUE` and `NAME<<DELIMITER` entries of a file. Raises FileCommandError."""
    pairs: list[tuple[str, str]] = []
    position = 0
    while position < len(text):
        line, position = _next_line(text, position)
        if not line:
            continue
        equals, heredoc = line.find("="), line.find("<<")
        if heredoc >= 0 and (equals < 0 or heredoc < equals):
            name, value, position = _read_heredoc(text, line, position)
        elif equals >= 0:
            name, _, value = line.partition("=")
            if not name:
                raise FileCommandError(f"Invalid format '{line}'. Name must not be empty")
        else:
            raise FileCommandError(f"Invalid format '{line}'")
        pairs.append((name, value))
    return pairs


def _read_heredoc(text: str, line: str, position: int) -> tuple[str, str, int]:
    name, _, delimiter = line.partition("<<")
    if not name or not delimiter:
        raise FileCommandError(
            f"Invalid format '{line}'. Name must not be empty and delimiter must not be empty"
        )
    start = end = position
    while position < len(text):
        at = position
        current, position = _next_line(text, position)
        if current == delimiter:
            return name, text[start:end], position
        if at + len(current) >= len(text):
            raise FileCommandError("Invalid value. EOF marker missing new line.")
        end = at + len(current)
    raise FileCommandError(f"Invalid value. Matching delimiter not found '{delimiter}'")


def _next_line(text: str, position: int) -> tuple[str, int]:
    """The line at `position` without its newline, and where the next one begins."""
    end = text.find("\n", position)
    return (text[position:], len(text)) if end < 0 else (text[position:end], end + 1)


def _read_env(text: str, variable: str) -> list[tuple[str, str]]:
    pairs = parse_pairs(text)
    for name, _value in pairs:
        if name.upper() in _BLOCKED:
            raise FileCommandError(
                f"Can't store {name.upper()} output parameter using '${variable}' command."
            )
        if "\0" in name or "\0" in _value:
            raise FileCommandError(f"Invalid value. A NUL cannot stand in the variable '{name}'")
    return pairs


def _read_paths(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


# By file: what to do with its text; the last argument is the variable's name, for messages.
_USES: dict[CommandFile, Callable[[Effects, str, str], None]] = {
    CommandFile.ENV: lambda effects, text, variable: effects.env.update(_read_env(text, variable)),
    CommandFile.OUTPUT: lambda effects, text, _variable: effects.outputs.update(parse_pairs(text)),
    CommandFile.STATE: lambda effects, text, _variable: effects.state.update(parse_pairs(text)),
    CommandFile.PATH: lambda effects, text, _variable: effects.paths.extend(_read_paths(text)),
}
