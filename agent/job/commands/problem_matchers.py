"""Problem matchers: regular expressions that find errors and warnings in what compilers and linters print.

`::add-matcher::FILE` brings some in, for all steps that follow. A matcher has one pattern, or several for as many lines in
a row; the last of several may `loop`. The newest matcher is asked first. A pattern that takes too long takes its matcher out.

Source: actions/runner `IssueMatcher.cs`, `OutputManager.cs`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # most jobs have none
    from agent.job.commands.matching import MatchedProblem, Matcher

_MAX_LINE_BYTES = 64 << 10  # a longer line is no compiler's


class ProblemMatchers:
    """The matchers of one job."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._matchers: list[Matcher] = []
        self.to_host: Callable[[str], str] = (
            str  # a path as steps see it -> on the machine: a job's containers set it
        )

    @property
    def is_empty(self) -> bool:
        """Whether no line has to be looked at."""
        return not self._matchers

    def add(self, path: str) -> None:
        """Bring in the matchers of a file (relative to the workspace). Raises MatcherError."""
        from agent.job.commands.matching import read_matchers

        for matcher in read_matchers(self._workspace / self.to_host(path)):
            self.remove(matcher.owner)
            self._matchers.insert(0, matcher)

    def remove(self, owner: str) -> None:
        """Take out the matchers of `owner`."""
        self._matchers = [matcher for matcher in self._matchers if matcher.owner.lower() != owner.lower()]

    def remove_file(self, path: str) -> None:
        """Take out the matchers that a file brought in. Raises MatcherError."""
        from agent.job.commands.matching import read_matchers

        for matcher in read_matchers(self._workspace / self.to_host(path)):
            self.remove(matcher.owner)

    def reset(self) -> None:
        """A new step begins: no problem goes from one step's output into the next one's."""
        for matcher in self._matchers:
            matcher.reset()

    def find(self, line: str, warn: Callable[[str], None]) -> "tuple[str, MatchedProblem] | None":
        """The problem that ends with `line`, and the line without its colours."""
        from agent.job.commands.matching import find_problem

        return find_problem(line, self._matchers, self._workspace, self.to_host, warn)


class LineWatcher:
    """Looks at each line of a step's output while there are matchers, and lets it through when there are none."""

    def __init__(
        self,
        matchers: ProblemMatchers,
        pass_on: Callable[[bytes], None],
        report: "Callable[[str, MatchedProblem], None]",
        warn: Callable[[str], None],
    ) -> None:
        self._matchers = matchers
        self._pass_on = pass_on
        self._report = report
        self._warn = warn
        self._held = b""
        matchers.reset()

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        if self._matchers.is_empty and not self._held:
            self._pass_on(data)
            return
        *lines, rest = (self._held + data).split(b"\n")
        for line in lines:
            self._look(line)
        self._held = b""
        if len(rest) > _MAX_LINE_BYTES:
            self._pass_on(rest)
        else:
            self._held = rest

    def finish(self) -> None:
        """The output has ended."""
        held, self._held = self._held, b""
        if held and not self._find(held):
            self._pass_on(held)

    def _look(self, line: bytes) -> None:
        if not self._find(line):
            self._pass_on(line + b"\n")

    def _find(self, line: bytes) -> bool:
        if len(line) > _MAX_LINE_BYTES or self._matchers.is_empty:
            return False
        found = self._matchers.find(line.decode("utf-8", "replace").rstrip("\r"), self._warn)
        if found is not None:
            self._report(*found)
        return found is not None
