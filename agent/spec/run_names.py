"""Readable names of runs, such as `wet-mangust-1`: a run's number in words, which says and types well.

A name is nothing but another spelling of the number, so it needs no table and is never taken twice: each number names a
pair of words, numbers that follow each other get pairs that look different, and when all pairs are used up, the count goes on.
"""

import re
from typing import Final

_QUALITIES: Final = (
    "wet", "brave", "calm", "shy", "bold", "warm", "cold", "keen", "lazy", "mild", "neat", "odd", "pale", "quick", "rare",
    "sharp", "tall", "vast", "wise", "young", "ancient", "bright", "clever", "dizzy", "eager", "fancy", "gentle", "happy",
    "itchy", "jolly", "kind", "lucky", "merry", "nice", "old", "proud", "quiet", "rapid", "silly", "tidy", "upset", "vivid",
    "wild", "zany", "afraid", "blunt", "curly", "dull", "empty", "fast", "good", "hot", "icy", "jumpy", "light", "moody",
    "new", "orange", "plain", "ripe", "slow", "tiny", "ugly", "smart",
)  # fmt: skip
_ANIMALS: Final = (
    "mangust", "zebra", "panda", "otter", "lynx", "heron", "gecko", "ferret", "eagle", "dingo", "crane", "bison", "ape",
    "badger", "camel", "dolphin", "emu", "fox", "goat", "horse", "ibex", "jackal", "koala", "lion", "mole", "newt", "owl",
    "pig", "quail", "rabbit", "seal", "tiger", "urchin", "viper", "wolf", "yak", "ant", "bat", "cat", "dog", "eel", "frog",
    "gull", "hare", "impala", "jay", "kiwi", "lemur", "moose", "octopus", "parrot", "robin", "snail", "toad", "walrus",
    "wombat", "bee", "crab", "duck", "elk", "fish", "goose", "hawk", "turtle",
)  # fmt: skip
_PAIRS: Final = len(_QUALITIES) * len(_ANIMALS)
_STRIDE: Final = 2531  # odd, and the pairs are a power of two: every pair comes once before any comes again
_BACK: Final = pow(_STRIDE, -1, _PAIRS)
_NAME: Final = re.compile(r"([a-z]+)-([a-z]+)-([1-9][0-9]{0,9})")


def name_run(number: int) -> str:
    """The readable name of the run with that number, which counts from 1."""
    round_, place = divmod(number - 1, _PAIRS)
    quality, animal = divmod(place * _STRIDE % _PAIRS, len(_ANIMALS))
    return f"{_QUALITIES[quality]}-{_ANIMALS[animal]}-{round_ + 1}"


def find_number(name: str) -> int | None:
    """The number of the run with that readable name, in whatever case; None for what is no such name."""
    match = _NAME.fullmatch(name.strip().lower())
    if match is None or match[1] not in _QUALITIES or match[2] not in _ANIMALS:
        return None
    pair = _QUALITIES.index(match[1]) * len(_ANIMALS) + _ANIMALS.index(match[2])
    return (int(match[3]) - 1) * _PAIRS + pair * _BACK % _PAIRS + 1
