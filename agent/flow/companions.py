"""Companions: texts beside a flow that its language reads together with it, such as the variables of its folder.

A front end names the ones it wants as *patterns*, relative to the flow's own folder (`variables.yaml`, `../workflows/*.yaml`);
whoever can read (a disk, a commit) gives their texts by their paths there. They travel with the run beside the flows that it
calls, whose references look otherwise: theirs begin with `./`, or hold an `@`.
"""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType

# Gives the texts that match the patterns, by path; one that is not there is left out. Raises AgentError for one that can't be read.
ReadCompanions = Callable[[Sequence[str]], Mapping[str, str]]

MOST_COMPANIONS = 100  # of one flow

NO_COMPANIONS: Mapping[str, str] = MappingProxyType({})


def read_none(_patterns: Sequence[str]) -> Mapping[str, str]:
    """The reader of a text that comes alone."""
    return NO_COMPANIONS


def choose_among(texts: Mapping[str, str]) -> ReadCompanions:
    """A reader of texts that have travelled along: those of the flow's companions and of the flows that it calls."""

    def read(patterns: Sequence[str]) -> Mapping[str, str]:
        return {path: text for path, text in texts.items() if any(matches(path, one) for one in patterns)}

    return read


def matches(path: str, pattern: str) -> bool:
    """Whether a companion's path is one that the pattern means: `*` stays within a folder."""
    folder, _, name = path.rpartition("/")
    wanted_folder, _, wanted_name = pattern.rpartition("/")
    return folder == wanted_folder and fnmatchcase(name, wanted_name)
