"""Kinds, coercions, comparisons and printing of values."""

from collections import UserDict
from collections.abc import Mapping
from math import inf, isnan, nan

import pytest

from agent.flow.expressions import (
    CaseSensitive,
    FilteredArray,
    is_truthy,
    kind_of,
    loose_equal,
    to_number,
    to_text,
)
from agent.flow.expressions.values import fold_case, is_less, look_up, simplify_number


@pytest.mark.parametrize(
    ("value", "kind", "text", "number", "truthy"),
    [
        (None, "Null", "", 0, False),
        (True, "Boolean", "true", 1, True),
        (False, "Boolean", "false", 0, False),
        (0, "Number", "0", 0, False),
        (-0.0, "Number", "0", 0, False),
        (nan, "Number", "NaN", nan, False),
        (-2.5, "Number", "-2.5", -2.5, True),
        ("", "String", "", 0, False),
        ("0", "String", "0", 0, True),
        ("false", "String", "false", nan, True),
        ([], "Array", "Array", nan, True),
        ((1, 2), "Array", "Array", nan, True),
        (FilteredArray(), "Array", "Array", nan, True),
        ({}, "Object", "Object", nan, True),
        (CaseSensitive(a=1), "Object", "Object", nan, True),
        (UserDict(), "Object", "Object", nan, True),
    ],
)
def test_a_value_has_a_kind_a_text_a_number_and_a_truth(value, kind, text, number, truthy):
    assert kind_of(value) == kind
    assert to_text(value) == text
    assert to_number(value) == number or (isnan(number) and isnan(to_number(value)))
    assert is_truthy(value) is truthy


def test_what_is_no_value_is_a_bug_of_ours():
    with pytest.raises(TypeError, match="cannot hold a bytes"):
        kind_of(b"")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"), (123456.789, "123456.789"), (0.1 + 0.2, "0.3"), (1 / 3, "0.333333333333333"), (2 / 3, "0.666666666666667"),
        (0.84551240822557006, "0.84551240822557"), (999999999999999, "999999999999999"), (10**15, "1E+15"), (1e21, "1E+21"),
        (1234567890123456789, "1.23456789012346E+18"), (0.0001, "0.0001"), (0.00001, "1E-05"), (1.5e-7, "1.5E-07"), (1e100, "1E+100"),
        (inf, "Infinity"), (-inf, "-Infinity"), (10**400, "Infinity"), (-(10**400), "-Infinity"), (-5, "-5"),
    ],
)  # fmt: skip
def test_numbers_print_with_fifteen_digits(number, text):
    assert to_text(number) == text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("  ", 0), (" 12 ", 12), ("\xa01\u3000", 1), ("+1.5e3", 1500), ("1.", 1), (".5", 0.5), ("1e400", inf), ("-1e400", -inf),
        ("0xff", 255), ("0xFFFFFFFF", -1), ("0x100000000", nan), ("0o10", 8), ("0x", nan), ("0XFF", nan), ("-0xf", nan),
        ("0o8", nan), ("0o40000000000", nan), ("0x" + "f" * 5000, nan), ("0x" + "0" * 5000, 0),
        ("Infinity", inf), ("+Infinity", inf), (" -Infinity ", -inf), ("infinity", nan), ("NaN", nan), ("abc", nan),
        ("1 2", nan), ("1_0", nan), (".", nan), ("e5", nan), ("\u0661", nan), ("1,5", nan),
    ],
)  # fmt: skip
def test_texts_become_numbers_by_javascripts_rules_and_32_bits(text, number):
    assert to_number(text) == number or (isnan(number) and isnan(to_number(text)))


@pytest.mark.parametrize(
    ("number", "simple"),
    [
        (1.0, int),
        (-3.0, int),
        (0.0, int),
        (-0.0, float),
        (1.5, float),
        (1e15, float),
        (inf, float),
        (nan, float),
    ],
)
def test_a_whole_exact_number_is_kept_as_an_int(number, simple):
    assert type(simplify_number(number)) is simple


SHARED: list[object] = []


@pytest.mark.parametrize(
    ("left", "right", "equal"),
    [
        (None, None, True), (None, 0, True), (None, "", True), (None, False, True), (None, "x", False), (None, [], False),
        (True, 1, True), (True, "1", True), (True, "true", False), (False, "", True), (False, {}, False),
        (1, 1.0, True), (0, -0.0, True), (nan, nan, False), (nan, "NaN", False), (1, " 1.0 ", True), (8, "0o10", True), (1, "a", False),
        ("a", "A", True), ("a", "b", False), ("", " ", False), ("0", "00", False), ("ß", "SS", False), ("ς", "Σ", True), ("\u0131", "I", False),
        ("\u017f", "s", False), ("İ", "i", False), ("ᾳ", "ᾼ", True), ("é", "É", True),
        ([], [], False), ({}, {}, False), (SHARED, SHARED, True), ("Array", [], False), (nan, [], False),
    ],
)  # fmt: skip
def test_equality_is_loose_and_symmetric(left, right, equal):
    assert loose_equal(left, right) is equal
    assert loose_equal(right, left) is equal


@pytest.mark.parametrize(
    ("left", "right", "less"),
    [
        (1, 2, True), (2, 1, False), (False, True, True), (None, 1, True), (None, None, False), ("a", "B", True), ("Z", "[", True),
        ("a", "[", True), ("10", "9", True), (" 0 ", 1, True), ("x", 1, False), (nan, 1, False), (1, inf, True), ([], 1, False),
        (SHARED, SHARED, False), (0, {}, False), ("\U0001f60a", "\uff21", True), ("", "a", True),
    ],
)  # fmt: skip
def test_order_is_ordinal_without_case_and_otherwise_numeric(left, right, less):
    assert is_less(left, right) is less


def test_folding_maps_one_character_to_one():
    assert fold_case("straße ŉ ΐ \u0131\u017f é") == "STRAßE ŉ ΐ \u0131\u017f É"


def test_a_property_is_found_by_its_exact_name_first_and_then_without_case():
    assert look_up({"A": 1, "a": 2}, "a") == 2
    assert look_up({"Foo": 1}, "fOO") == 1
    assert look_up({"É": 1}, "é") == 1
    assert look_up({"a": 1}, "b") is None
    assert look_up({"a": 1}, "b", 0) == 0


def test_a_case_sensitive_object_keeps_its_word():
    assert look_up(CaseSensitive(Path=1), "PATH") is None
    assert look_up(CaseSensitive(Path=1), "Path") == 1


def test_an_exact_hit_looks_at_no_other_key():
    class Watched(Mapping):
        def __getitem__(self, key):
            return {"b": 1}[key]

        def __contains__(self, key):
            return key == "b"

        def __iter__(self):
            raise AssertionError("all keys were read")

        def __len__(self):
            return 1

    assert look_up(Watched(), "b") == 1
