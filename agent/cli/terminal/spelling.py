"""Spelling: did you mean the word that was probably meant, where a word is not known."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

_LEAST_LIKENESS = 0.6


def advise(word: str, known: Iterable[str], help_command: str) -> str:
    """What to do about an unknown `word`: the likely one of `known`, if there is one, and the command that lists them."""
    meant = find_meant(word, known)
    question = f"did you mean {meant}? " if meant else ""
    return f"{question}{'S' if meant else 's'}ee `{help_command}`"


def find_meant(word: str, known: Iterable[str]) -> str:
    """The one of `known` that `word` begins, or that is most like it; empty when none is like it."""
    from difflib import get_close_matches

    bare = {_bare(name): name for name in known if _bare(name)}
    wanted = _bare(word)
    begun = [name for name in bare if wanted and name.startswith(wanted)]
    close = begun if len(begun) == 1 else get_close_matches(wanted, bare, n=1, cutoff=_LEAST_LIKENESS)
    return bare[close[0]] if close else ""


def find_unknown_option(
    words: Sequence[str], takes_value: Mapping[str, bool | None], *, is_group: bool
) -> str:
    """The first of `words` that is an option that nobody knows; empty when there is none.

    `takes_value` says of each known option whether a value follows; None: all the rest is its value. `is_group`: what
    follows the first word that is no option is for the command of that name.
    """
    rest = iter(words)
    for word in rest:
        if word == "--" or (is_group and not word.startswith("-")):
            return ""
        if not _is_option(word):
            continue
        name, equals, _value = word.partition("=")
        if name not in takes_value and not word.startswith("--"):
            name, equals = word[:2], word[2:]  # `-fx`: short options, or one with its value
        if name not in takes_value:
            return name if word.startswith("--") else word
        if takes_value[name] is None:
            return ""
        if takes_value[name] and not equals:
            next(rest, None)
    return ""


class SplitWords(NamedTuple):
    """The words of a command that starts a flow."""

    own: list[str]  # the command's
    free: list[str]  # options that are not, each with the word that follows it, and words too many
    rest: list[str]  # what follows `--`


def split_free(words: Sequence[str], takes_value: Mapping[str, bool | None]) -> SplitWords:
    """`words` of a command that has one word of its own, a flow; `takes_value` as in `find_unknown_option`."""
    split = SplitWords([], [], [])
    rest = iter(words)
    has_flow, may_follow = False, False
    for word in rest:
        if word == "--":
            split.rest.extend(rest)
            break
        name, equals, _value = word.partition("=")
        if not _is_option(word):
            is_free = may_follow or has_flow
            has_flow = has_flow or not is_free
            may_follow = False
            (split.free if is_free else split.own).append(word)
        elif name in takes_value or not word.startswith("--"):
            split.own.append(word)
            may_follow = False
            needs = takes_value.get(name, False) and not equals
            if needs and (value := next(rest, None)) is not None:
                split.own.append(value)
        else:
            split.free.append(word)
            may_follow = not equals
    return split


def _is_option(word: str) -> bool:
    """As argparse sees it: not `-` alone, a negative number, or a text with a space in it."""
    is_number = word[1:].replace(".", "", 1).isdecimal()
    return len(word) > 1 and word.startswith("-") and " " not in word.partition("=")[0] and not is_number


def _bare(name: str) -> str:
    return name.lstrip("-").lower()
