"""Thousands of generated expressions mean to us what they mean to GitHub's own library.

`FLOW_FUZZ=long` compares ten times as many. The generator stays away from where that library differs from the runner,
whose lead we follow (docs/compatibility.md): several `''` in one string, white space beyond space, tab and line breaks,
`0X`, `0b` and numbers of more than 32 bits in hexadecimal or octal, more than 15 significant digits, sigmas and the
dotted capital I (it lowers where the runner uppers), what follows the digits of a format field, NaN inside toJSON,
a comma before `)`, failing branches of `case` and failing indices that the runner never evaluates, the order of two
errors in a call of an unknown function, and names made of digits or of JavaScript's prototype.
"""

import json
import os
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.flow.expressions import ExpressionError, evaluate, kind_of, to_text

ORACLE = Path(__file__).parent / "oracle"
COUNT = 10_000 if os.environ.get("FLOW_FUZZ") == "long" else 1_000

CONTEXTS = {
    "github": {
        "ref": "refs/heads/main",
        "Event_Name": "push",
        "event": {
            "number": 7,
            "labels": [{"name": "bug", "id": 1}, {"name": "Wanted", "id": 2}, {"id": 3}],
            "none": None,
        },
    },
    "arr": ["zero", "ONE", 2, 3.5, True, None, [], {}],
    "grid": [[1, 2, 3], ["a", "b"], [], {"name": "x"}, [[4, 5], [6]]],
    "obj": {"a": 1, "B": "two", "c-d": False, "e_f": None, "true": "yes", "deep": {"er": {"est": "end"}}},
    "num": 12.5,
    "text": "Hello World",
    "empty": "",
    "flag": True,
    "no": False,
    "nul": None,
    "none_of_it": {},
}
PROPERTIES = [
    "a",
    "b",
    "B",
    "c-d",
    "e_f",
    "true",
    "deep",
    "er",
    "name",
    "NAME",
    "id",
    "labels",
    "event",
    "missing",
    "ref",
]
NUMBERS = [
    "0",
    "1",
    "2",
    "-1",
    "+3",
    "42",
    "1.5",
    "-0.25",
    ".5",
    "-.5",
    "7.",
    "1e3",
    "1E-2",
    "2.5e+3",
    "-0",
    "0.0",
]
NUMBERS += [
    "0xff",
    "0x0F",
    "0o17",
    "0o0",
    "NaN",
    "Infinity",
    "-Infinity",
    "123456789012345",
    "0.123456789",
    "1234.5678",
]
TEXTS = [
    "",
    "a",
    "A",
    "abc",
    "ABC",
    "one",
    "ONE",
    "Hello",
    "world",
    "é",
    "É",
    "ü",
    "Ü",
    "\u0131",
    "I",
    "i",
    "漢字",
    "\U0001f60a",
    "[",
    "_",
]
TEXTS += [
    " ",
    "0",
    "1",
    " 12 ",
    "12.50",
    "0xFF",
    "0o10",
    "1e3",
    "abc1",
    "-1",
    "+2",
    ".5",
    "Infinity",
    "-Infinity",
    "NaN",
]
TEXTS += ["true", "false", "null", "Object", "Array", "it''s", "two words", "a,b", "}", "x = y", "(", ")]"]
FORMATS = ["{0}", "{0}{0}", "<{0}|{1}>", "{{{0}}}", "{{0}}", "}}{{", "no fields", "{1} before {0}", "{00}"]
BAD = [
    "format('{0')",
    "format('{0}')",
    "format('}')",
    "format('{a}', 1)",
    "fromJSON('')",
    "fromJSON('{')",
    "fromJSON('[1,]')",
]
BAD += [
    "case(1, 2, 3)",
    "case('true', 2, 3)",
    "case(false, 1, null, 2, 3)",
    "fromJSON('NaN')",
    "format('{3}', 1, 2)",
]


class Generator:
    """Makes expressions that are valid but for a few; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def make(self) -> str:
        roll = self.random.random()
        if roll < 0.04:
            return self.random.choice(BAD)
        expression = self.expression(self.random.randint(1, 5))
        return self.damage(expression) if roll < 0.14 else expression

    def damage(self, expression: str) -> str:
        """One character less, more or other."""
        if re.search(
            "format|json", expression, re.IGNORECASE
        ):  # their contents would be damaged, not the syntax
            return expression
        at = self.random.randrange(len(expression))
        new = self.random.choice(["", *"()[],.'!=<>&|*@#-+ 1ax\"{}/", "&&", "..", "''"])
        damaged = expression[:at] + new + expression[at + self.random.randint(0, 1) :]
        # Accepted by the library alone, and unescaped by the runner alone.
        return expression if re.search(r",\s*\)", damaged) or damaged.count("''") > 1 else damaged

    def space(self) -> str:
        return self.random.choice(["", "", " ", " ", "  ", "\t", "\n", " \r\n "])

    def expression(self, depth: int) -> str:
        choice = self.random.choice
        if depth <= 0:
            return self.atom()
        left, right = self.expression(depth - 1), self.expression(depth - self.random.randint(1, 2))
        match self.random.randrange(10):
            case 0 | 1:
                return (
                    f"{left}{self.space()}{choice(['==', '!=', '<', '<=', '>', '>='])}{self.space()}{right}"
                )
            case 2 | 3:
                return f"{left}{self.space()}{choice(['&&', '||'])}{self.space()}{right}"
            case 4:
                return f"{choice(['!', '!!', '! '])}{left}"
            case 5:
                return f"({self.space()}{left}{self.space()}){self.path(2)}"
            case 6 | 7:
                return self.call(depth)
            case 8:
                return self.access()
            case _:
                return self.atom()

    def atom(self) -> str:
        match self.random.randrange(6):
            case 0:
                return self.random.choice(["null", "true", "false"])
            case 1 | 2:
                return self.random.choice(NUMBERS)
            case 3 | 4:
                return self.string()
            case _:
                return self.access()

    def string(self) -> str:
        return f"'{self.random.choice(TEXTS)}'"

    def access(self) -> str:
        name = self.random.choice(list(CONTEXTS))
        return self.random.choice([name, name.upper(), name.title()]) + self.path(4)

    def path(self, longest: int) -> str:
        return "".join(self.step() for _ in range(self.random.randint(0, longest)))

    def step(self) -> str:
        choice = self.random.choice
        match self.random.randrange(6):
            case 0 | 1:
                return f"{choice(['.', ' .', '. '])}{choice(PROPERTIES)}"
            case 2:
                return f"['{choice(PROPERTIES)}']"
            case 3:
                return choice([".*", "[*]", "[ * ]", ". *"])
            case 4:
                return f"[{choice([*NUMBERS, 'true', 'null', 'num', 'arr', 'obj', 'text'])}]"
            case _:
                return f"[{self.expression(1)}]"

    def call(self, depth: int) -> str:
        argument = self.expression(depth - 1)
        other = self.expression(depth - 2)
        name = self.random.choice(
            ["contains", "startsWith", "endsWith", "join", "format", "toJSON", "fromJSON", "case", "fn"]
        )
        spelled = self.random.choice([name, name.lower(), name.upper(), f"{name} "])
        match name:
            case "format":
                return f"{spelled}('{self.random.choice(FORMATS)}', {argument},{other})"
            case "toJSON":
                return (
                    f"{spelled}({self.random.choice([self.access(), self.string(), '1.5', 'true', 'null'])})"
                )
            case "fromJSON":
                return f"{spelled}('{json.dumps(self.value(2), ensure_ascii=False)}'){self.path(2)}"
            case "join":
                return f"{spelled}({argument})" if depth % 2 else f"{spelled}({argument}, {other})"
            case "case":
                return f"{spelled}({argument} == {other}, {self.atom()}, !{self.atom()}, {other}, {argument})"
            case "fn":
                return self.access()
            case _:
                return f"{spelled}({self.space()}{argument}{self.space()}, {other})"

    def value(self, depth: int) -> object:
        choice = self.random.choice
        if depth and self.random.random() < 0.6:
            if self.random.random() < 0.5:
                return [self.value(depth - 1) for _ in range(self.random.randint(0, 3))]
            return {choice(PROPERTIES): self.value(depth - 1) for _ in range(self.random.randint(0, 3))}
        return choice([None, True, False, 0, 1, -7, 2.5, 1e3, "", "text", "ß", "12"])


@pytest.fixture(scope="module")
def oracle() -> list[str]:
    """The command that runs GitHub's library; installed on first use (a module fixture: it has the caller's home)."""

    def give_up(reason: str) -> None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    node, npm = shutil.which("node"), shutil.which("npm")
    if not (ORACLE / "node_modules" / ".package-lock.json").exists():
        if npm is None:
            give_up("npm is needed to install GitHub's expression library")
        command = [str(npm), "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        installed = subprocess.run(
            command, cwd=ORACLE, capture_output=True, text=True, timeout=100, check=False
        )
        if installed.returncode:
            give_up(f"npm cannot install GitHub's expression library: {installed.stderr[-400:]}")
    if node is None:
        give_up("node is needed to run GitHub's expression library")
    return [str(node), str(ORACLE / "evaluate.mjs")]


def ask(oracle: list[str], expressions: list[str]) -> list[dict]:
    lines = "".join(
        json.dumps({"expr": expression, "contexts": CONTEXTS}) + "\n" for expression in expressions
    )
    answered = subprocess.run(
        oracle, input=lines, capture_output=True, text=True, timeout=100, check=True, cwd=ORACLE
    )
    return [json.loads(line) for line in answered.stdout.split("\n") if line]


def plain(value: object) -> object:
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return to_text(value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def answer(expression: str) -> dict:
    try:
        value = evaluate(expression, CONTEXTS)
    except ExpressionError as error:
        return {"error": {"kind": error.kind, "message": error.message}}
    return {"kind": kind_of(value), "value": plain(value)}


def agrees(ours: dict, theirs: dict, expression: str) -> bool:
    if "error" not in ours or "error" not in theirs:
        return ours == theirs
    message, official = ours["error"]["message"], theirs["error"]["message"]
    if ours["error"]["kind"] != theirs["error"]["kind"]:
        return False
    if message.startswith("Unrecognized function"):  # the library reads the arguments first
        return True
    if "EOF" in official:  # the library names its own end token; the runner, and we, say what is missing
        return "Unexpected end of expression" in message
    is_one_line = "\n" not in expression  # the library counts from the last line break
    return message.startswith(official) or not is_one_line


@pytest.mark.timeout(300)
def test_generated_expressions_mean_what_githubs_own_library_makes_of_them(oracle):
    generator = Generator(seed=20_260_101)
    expressions = [generator.make() for _ in range(COUNT)]
    answers = ask(oracle, expressions)
    differences = [
        f"{expression!r}\n  ours:   {ours}\n  theirs: {theirs}"
        for expression, theirs in zip(expressions, answers, strict=True)
        if not agrees(ours := answer(expression), theirs, expression)
    ]
    assert not differences, f"{len(differences)} differences\n" + "\n".join(differences[:20])


def test_the_generator_makes_mostly_valid_expressions_of_every_kind():
    generator = Generator(seed=1)
    answers = [answer(generator.make()) for _ in range(1_000)]
    assert sum("error" not in one for one in answers) > 800
    assert {one.get("kind") for one in answers} >= {"Null", "Boolean", "Number", "String", "Array", "Object"}
    assert {one["error"]["kind"] for one in answers if "error" in one} == {"lexing", "parsing", "evaluation"}
