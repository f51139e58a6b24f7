"""The files through which a step speaks: GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE, GITHUB_PATH, GITHUB_STEP_SUMMARY.

Each process gets five fresh files, which are read and removed when it has ended. The job may have done anything to them:
only a regular file is read, by the folder's own handle, and no link is followed.

Source: actions/runner `FileCommandManager.cs`; messages are GitHub's.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.errors import AgentError
from agent.job.effects import Effects

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


class FileCommandError(Exception):
    """A file that cannot be understood; its text is for the user."""


class CommandFiles:
    """The files of one process. `variables` names them; `collect` reads them into effects and removes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = _open_folder(folder)
        token = os.urandom(16).hex()
        self._names = {variable: f"{prefix}{token}" for variable, prefix in _PREFIXES.items()}
        self.variables = {variable: f"{folder}/{name}" for variable, name in self._names.items()}
        for name in self._names.values():
            os.mknod(name, stat.S_IFREG | 0o644, dir_fd=self._folder)

    @property
    def members(self) -> dict[str, str]:
        """The files as the `github` context names them."""
        return {name.removeprefix("GITHUB_").lower(): path for name, path in self.variables.items()}

    def collect(self, effects: Effects) -> str:
        """Add to `effects` what the process wrote; returns its summary. What is wrong goes to `effects.errors`."""
        summary = ""
        try:
            self._apply("GITHUB_ENV", "env", effects, lambda text: effects.env.update(_read_env(text)))
            self._apply(
                "GITHUB_OUTPUT", "output", effects, lambda text: effects.outputs.update(parse_pairs(text))
            )
            self._apply(
                "GITHUB_STATE", "state", effects, lambda text: effects.state.update(parse_pairs(text))
            )
            self._apply("GITHUB_PATH", "path", effects, lambda text: effects.paths.extend(_read_paths(text)))
            with self._complaining("step_summary", effects):
                summary = self._read_summary()
        finally:
            self._remove()
        return summary

    def _apply(self, variable: str, command: str, effects: Effects, use: Callable[[str], None]) -> None:
        with self._complaining(command, effects):
            text = self._read(variable)
            if text:
                use(text)

    @contextlib.contextmanager
    def _complaining(self, command: str, effects: Effects) -> Iterator[None]:
        try:
            yield
        except FileCommandError as error:
            effects.errors += [f"Unable to process file command '{command}' successfully.", str(error)]

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
        if self._size(variable) == 0:  # as most are: spares the opening
            return ""
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

    def _remove(self) -> None:
        for name in self._names.values():
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=self._folder)
        os.close(self._folder)


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
