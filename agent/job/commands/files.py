"""The files through which a step speaks: GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE, GITHUB_PATH, GITHUB_STEP_SUMMARY.

Each process gets five fresh files, which are read when it has ended and then removed. The job may have done anything to
them: only a regular file is read, by the folder's own handle, and no link is followed.

While a process runs, nobody waits for us: that is when the next one's files are made, and those removed that the last one
left empty. What holds something is removed before the next process begins, which is not to see it; what was made early counts
only when nobody has touched it since.

Source: actions/runner `FileCommandManager.cs`; messages are GitHub's.
"""

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

from agent.errors import AgentError
from agent.job.commands.effects import Effects

_PREFIXES = {
    "GITHUB_ENV": "set_env_",
    "GITHUB_OUTPUT": "set_output_",
    "GITHUB_STATE": "save_state_",
    "GITHUB_PATH": "add_path_",
    "GITHUB_STEP_SUMMARY": "step_summary_",
}
_MAX_FILE_BYTES = 64 << 20
_MAX_SUMMARY_BYTES = 1 << 20
_BLOCKED = ("NODE_OPTIONS",)
_State = tuple[int, int, int, int, int, int]


class FileCommandError(Exception):
    """A file that cannot be understood; its text is for the user."""


class CommandFolder:
    """The folder of all command files of a job."""

    def __init__(self, path: Path) -> None:
        self._path = path
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
        return CommandFiles(self._path)

    def give_back(self, files: "CommandFiles") -> None:
        """Nobody needs `files` any more."""
        self._used.append(files)

    def tidy(self) -> None:
        """Remove what was given back, and make files for the next process."""
        self._remove_used()
        if self._ready is None and not self._is_closed:
            with contextlib.suppress(AgentError, OSError):  # `take` tries again, and tells
                self._ready = CommandFiles(self._path)
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

    def __init__(self, folder: Path) -> None:
        self._folder = _open_folder(folder)
        token = os.urandom(16).hex()
        self._names = {variable: f"{prefix}{token}" for variable, prefix in _PREFIXES.items()}
        self._states: list[_State] = []
        self.variables = {variable: f"{folder}/{name}" for variable, name in self._names.items()}
        try:
            for name in self._names.values():
                os.mknod(name, stat.S_IFREG | 0o644, dir_fd=self._folder)
        except OSError:
            self.remove()
            raise

    @property
    def members(self) -> dict[str, str]:
        """The files as the `github` context names them."""
        return {_command_of(name): path for name, path in self.variables.items()}

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
        written = [variable for variable in _PREFIXES if self._size(variable) != 0]
        summary = ""
        for variable in written:
            try:
                if variable == "GITHUB_STEP_SUMMARY":
                    summary = self._read_summary()
                elif text := self._read(variable):
                    _USES[variable](effects, text)
            except FileCommandError as error:
                command = _command_of(variable)
                effects.errors += [f"Unable to process file command '{command}' successfully.", str(error)]
            self._unlink(variable)
        return summary

    def remove(self) -> None:
        """Remove the files that are left. Nothing can be done with them afterwards."""
        for variable in list(self._names):
            self._unlink(variable)
        os.close(self._folder)

    def _read_summary(self) -> str:
        size = self._size("GITHUB_STEP_SUMMARY") or 0
        if size > _MAX_SUMMARY_BYTES:
            raise FileCommandError(
                f"$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of 1024k, got {size // 1024}k."
                " For more information see: https://docs.github.com/actions/using-workflows/"
                "workflow-commands-for-github-actions#adding-a-markdown-summary"
            )
        return self._read("GITHUB_STEP_SUMMARY")

    def _size(self, variable: str) -> int | None:
        """How long the file is; None when it is gone, or no file any more."""
        try:
            information = os.stat(self._names[variable], dir_fd=self._folder, follow_symlinks=False)
        except OSError:
            return None
        return information.st_size if stat.S_ISREG(information.st_mode) else None

    def _read(self, variable: str) -> str:
        """The file's text; empty when it was removed."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            file = os.open(self._names[variable], flags, dir_fd=self._folder)
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise FileCommandError(
                f"${variable} is not the file any more that the step was given: {error.strerror}"
            ) from None
        try:
            return _read_regular(file, variable)
        finally:
            os.close(file)

    def _unlink(self, variable: str) -> None:
        with contextlib.suppress(OSError):  # the job has removed it, or made a folder of it
            os.unlink(self._names[variable], dir_fd=self._folder)
        del self._names[variable]


def _command_of(variable: str) -> str:
    """What GitHub calls the file, in the `github` context and in messages: GITHUB_STEP_SUMMARY is step_summary."""
    return variable.removeprefix("GITHUB_").lower()


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


def _read_env(text: str) -> list[tuple[str, str]]:
    pairs = parse_pairs(text)
    for name, _value in pairs:
        if name.upper() in _BLOCKED:
            raise FileCommandError(
                f"Can't store {name.upper()} output parameter using '$GITHUB_ENV' command."
            )
        if "\0" in name or "\0" in _value:
            raise FileCommandError(f"Invalid value. A NUL cannot stand in the variable '{name}'")
    return pairs


def _read_paths(text: str) -> list[str]:
    return [line for line in text.split("\n") if line]


_USES: dict[str, Callable[[Effects, str], None]] = {
    "GITHUB_ENV": lambda effects, text: effects.env.update(_read_env(text)),
    "GITHUB_OUTPUT": lambda effects, text: effects.outputs.update(parse_pairs(text)),
    "GITHUB_STATE": lambda effects, text: effects.state.update(parse_pairs(text)),
    "GITHUB_PATH": lambda effects, text: effects.paths.extend(_read_paths(text)),
}
