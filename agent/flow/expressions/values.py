"""Values and how they turn into one another: kinds, coercions, comparisons, text.

A value is None, a bool, an int or float, a str, a list or tuple, or a Mapping with string keys. Numbers are doubles to
the language; one that is whole and exact is kept as an int, so that it prints and indexes as people expect.

Source: actions/runner `EvaluationResult.cs` and `ExpressionUtility.cs`; github-facts.md section 2.
"""

import re
from collections.abc import Mapping, Sequence
from math import copysign, inf, isfinite, isnan, nan
from typing import Literal, TypeGuard

Kind = Literal["Null", "Boolean", "Number", "String", "Array", "Object"]

# .NET's Char.IsWhiteSpace: what the runner skips between tokens and trims from numbers. (Python's isspace has more.)
WHITESPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"

_DECIMAL = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
_HEXADECIMAL = re.compile(r"0x([0-9a-fA-F]++)")
_OCTAL = re.compile(r"0o([0-7]++)")
_INFINITIES = {"Infinity": inf, "+Infinity": inf, "-Infinity": -inf}
_LARGEST_EXACT = 10**15  # G15 prints every whole number below this in full


class CaseSensitive(dict[str, object]):
    """An object whose keys are case-sensitive: the `env` context on Linux."""


class FilteredArray(list[object]):
    """What `.*` yields: indexing it goes on inside each of its items."""


def is_array(value: object) -> TypeGuard[Sequence[object]]:
    """Whether `value` is an Array to the language."""
    return isinstance(value, (list, tuple))


def is_primitive(value: object) -> bool:
    """Whether `value` is neither Array nor Object."""
    return not isinstance(value, (list, tuple, Mapping))


def kind_of(value: object) -> Kind:
    """The kind that the language sees in `value`. TypeError for what is no value at all: that is a bug of ours."""
    if value is None:
        return "Null"
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, str):
        return "String"
    if isinstance(value, (int, float)):
        return "Number"
    if is_array(value):
        return "Array"
    if isinstance(value, Mapping):
        return "Object"
    raise TypeError(f"an expression cannot hold a {type(value).__name__}")


def is_truthy(value: object) -> bool:
    """False for null, false, 0, NaN and the empty string; every array and object is true."""
    if isinstance(value, float):
        return value != 0 and not isnan(value)
    if is_primitive(value):
        return bool(value)
    return True


def to_text(value: object) -> str:
    """`value` as format() and `${{ }}` in text print it."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return format_number(value)
    return kind_of(value)


def to_number(value: object) -> float:
    """`value` as a number, by the rules of JavaScript's Number(); NaN where there is none."""
    if isinstance(value, (int, float)):
        return _as_float(value)
    if value is None:
        return 0.0
    return parse_number(value) if isinstance(value, str) else nan


def parse_number(text: str) -> float:
    """The number that `text` spells: decimal, `0x` and `0o` (32 bits, two's complement), Infinity; else NaN."""
    text = text.strip(WHITESPACE)
    if not text:
        return 0.0
    if _DECIMAL.fullmatch(text):
        return float(text)
    if match := _HEXADECIMAL.fullmatch(text):
        return _wrap_int32(match[1].lstrip("0"), 16)
    if match := _OCTAL.fullmatch(text):
        return _wrap_int32(match[1].lstrip("0"), 8)
    return _INFINITIES.get(text, nan)


def simplify_number(value: float) -> int | float:
    """The same number, as an int where it is whole and exact (and not minus zero)."""
    if value.is_integer() and abs(value) < _LARGEST_EXACT and (value or copysign(1, value) > 0):
        return int(value)
    return value


def format_number(value: float) -> str:
    """Fifteen significant digits, no trailing zeros, `E+15` from there on: .NET's G15; minus zero is `0`."""
    if isinstance(value, int) and abs(value) < _LARGEST_EXACT:
        return str(int(value))
    number = _as_float(value)
    if not isfinite(number):
        return "NaN" if isnan(number) else "Infinity" if number > 0 else "-Infinity"
    return f"{number:.15G}" if number else "0"


def fold_case(text: str) -> str:
    """The form of `text` under which strings are compared: .NET's OrdinalIgnoreCase, one character to one."""
    return text.upper() if text.isascii() else text.translate(_FOLDS)


def loose_equal(left: object, right: object) -> bool:
    """`left == right`: strings without regard to case, arrays and objects by identity, the rest as numbers."""
    if isinstance(left, str) and isinstance(right, str):
        return left == right or fold_case(left) == fold_case(right)
    if not (is_primitive(left) and is_primitive(right)):
        return left is right
    return (left is None and right is None) or to_number(left) == to_number(right)


def is_less(left: object, right: object) -> bool:
    """`left < right`; false wherever the two cannot be compared."""
    if isinstance(left, str) and isinstance(right, str):
        return _sort_key(left) < _sort_key(right)
    if not (is_primitive(left) and is_primitive(right)):
        return False
    return to_number(left) < to_number(right)


def look_up(mapping: Mapping[str, object], key: str, default: object = None) -> object:
    """The value of a property, by its exact name first and then without regard to case."""
    if key in mapping:
        return mapping[key]
    if isinstance(mapping, CaseSensitive):
        return default
    folded = fold_case(key)
    for name in mapping:
        if len(name) == len(key) and fold_case(name) == folded:
            return mapping[name]
    return default


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an int beyond the doubles, from a context
        return inf if value > 0 else -inf


def _wrap_int32(digits: str, base: int) -> float:
    """.NET reads these digits into 32 bits: the upper half is negative, more does not fit."""
    if len(digits) > 11:
        return nan
    number = int(digits or "0", base)
    if number >= 1 << 32:
        return nan
    return float(number - (1 << 32) if number >= 1 << 31 else number)


def _fold_character(character: str) -> str:
    if character in "\u0131\u017f":  # dotless i and long s are letters of their own, not an I and an S
        return character
    upper = character.upper()
    if len(upper) == 1:
        return upper
    title = character.title()  # where upper case needs two letters, title case may still be one
    return title if len(title) == 1 else character


class _Folds(dict[int, str]):
    """`_fold_character` by code point, each worked out once."""

    def __missing__(self, point: int) -> str:
        folded = self[point] = _fold_character(chr(point))
        return folded


_FOLDS = _Folds()


def _sort_key(text: str) -> bytes:
    # Ordinal order is that of UTF-16 units: a character above U+FFFF sorts before U+E000.
    return fold_case(text).encode("utf-16-be", "surrogatepass")
