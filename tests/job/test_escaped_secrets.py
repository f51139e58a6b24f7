"""A secret is masked however a program has escaped it: what each tool writes, not what we think that it does."""

import base64
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.escapes import UnescapedText, undo_escapes
from agent.job.output.masking import Masker, MaskStream

SECRETS = [
    "p@$$w0rd%41 {x}",
    "x/+9==z:tok",
    'it\'s a "key" \\ with&<all>',
    "schlüssel/Ä€\U0001f600!",
    "''twice''it's''",
    "C:\\new\\u0041 100%25\ttab",
]
MOST_LEFT = 16  # bytes that may be left of what a tool writes: its quotes, the name that it gives


def run(*command: str, secret: str = "", stdin: str = "", **environment: str) -> bytes:
    """What a program prints on both streams."""
    told = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "S": secret,
        **environment,
    }
    return subprocess.run(
        command, env=told, input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    ).stdout


def run_bash(script: str) -> Callable[[str], bytes]:
    return lambda secret: run("bash", "-c", script, secret=secret)


def run_python(expression: str) -> Callable[[str], bytes]:
    script = f"import os, json, shlex, urllib.parse; s = os.environ['S']; print({expression})"
    return lambda secret: run(sys.executable, "-c", script, secret=secret)


TOOLS: dict[str, Callable[[str], bytes]] = {
    "bash printf %q": run_bash("printf '%q\\n' \"$S\""),
    "bash printf %q, not in UTF-8": run_bash("LC_ALL=C; printf '%q\\n' \"$S\""),
    "bash declare -p": run_bash("declare -p S | cut -d= -f2-"),
    "bash export -p": run_bash("export -p | sed -n 's/^declare -x S=//p'"),
    "bash @Q": run_bash('echo "${S@Q}"'),
    "bash set -x": run_bash('set -x; : "$S"'),
    "sh export -p": lambda secret: run("sh", "-c", "export -p | sed -n 's/^export S=//p'", secret=secret),
    "sh set -x": lambda secret: run("sh", "-c", 'set -x; : "$S"', secret=secret),
    "Python shlex.quote": run_python("shlex.quote(s)"),
    "Python repr": run_python("repr(s)"),
    "Python dict": run_python("{'k': s}"),
    "Python ascii": run_python("ascii(s)"),
    "Python bytes": run_python("s.encode()"),
    "Python json": run_python("json.dumps(s)"),
    "Python json, as it is": run_python("json.dumps(s, ensure_ascii=False)"),
    "Python json in json": run_python("json.dumps(json.dumps(s))"),
    "Python json in json in json": run_python("json.dumps(json.dumps(json.dumps(s)))"),
    "Python quote": run_python("urllib.parse.quote(s)"),
    "Python quote, all": run_python("urllib.parse.quote(s, safe='')"),
    "Python quote_plus": run_python("urllib.parse.quote_plus(s)"),
    "Python quote, twice": run_python("urllib.parse.quote(urllib.parse.quote(s, safe=''), safe='')"),
    "PHP-like json": run_python("json.dumps(s).replace('/', '\\\\/')"),
    "Go-like json": run_python(
        "json.dumps(s, ensure_ascii=False).replace('&', '\\\\u0026').replace('<', '\\\\u003c').replace('>', '\\\\u003e')"
    ),
    "curl --data-urlencode": lambda secret: run(
        "curl",
        "-sG",
        "-x",
        "http://127.0.0.1:1",
        "-w",
        "%{url_effective}",
        "--data-urlencode",
        f"={secret}",
        "http://h",
    ).partition(b"?")[2],
    "git config": lambda secret: run(
        "bash",
        "-c",
        'f=$(mktemp -d)/c; git config -f "$f" a.b "$S"; sed -n "s/.*b = //p" "$f"',
        secret=secret,
    ),
    "git credential store": lambda secret: run(
        "bash",
        "-c",
        'f=$(mktemp -d)/c; printf "protocol=https\\nhost=h\\nusername=u\\npassword=%s\\n" "$S" '
        '| git credential-store --file "$f" store; sed "s/.*u:\\(.*\\)@h/\\1/" "$f"',
        secret=secret,
    ),
}


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("tool", TOOLS)
def test_what_a_tool_writes_of_a_secret_is_masked(tool: str, secret: str) -> None:
    written = TOOLS[tool](secret)
    assert len(written.strip()) >= len(secret), "it does write it"
    assert_masked(secret, written)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "expression",
    [
        *("encodeURIComponent(s)", "encodeURI(s)", "new URLSearchParams({'': s}).toString()"),
        *("JSON.stringify(s)", "util.inspect(s)", "util.inspect({k: s})"),
    ],
)
def test_what_node_writes_of_a_secret_is_masked(expression: str, secret: str) -> None:
    node = shutil.which("node")
    assert node is not None
    script = f"const util = require('util'); const s = process.env.S; console.log({expression})"
    assert_masked(secret, run(node, "-e", script, secret=secret))


def assert_masked(secret: str, written: bytes) -> None:
    masker = Masker()
    masker.add(secret)
    shown = masker.mask(written)
    assert b"***" in shown, written
    assert len(shown.replace(b"***", b"").strip()) <= MOST_LEFT, (written, shown)
    for size in (1, 3):
        stream = MaskStream(masker)
        pieces = [stream.feed(written[start : start + size]) for start in range(0, len(written), size)]
        assert b"".join([*pieces, stream.finish()]) == shown


@given(
    st.text("ab\"'/%+ 4é€\U0001f600", min_size=4, max_size=12),
    st.lists(st.booleans(), min_size=80, max_size=80),
    st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_any_part_of_a_secret_may_be_escaped_in_a_url_in_either_case(
    secret: str, are_escaped: list[bool], are_small: list[bool]
) -> None:
    secret = secret.strip()
    assume(len(undo_escapes(secret.encode())) >= 4)
    written = b"".join(
        (b"%%%02x" if is_small else b"%%%02X") % byte
        if byte in b"% " or (is_escaped and byte not in b"ab4")
        else bytes([byte])
        for byte, is_escaped, is_small in zip(secret.encode(), are_escaped, are_small, strict=False)
    )
    masker = Masker()
    masker.add(secret)
    assert masker.mask(b"x=" + written + b"&y") == b"x=***&y"


ESCAPED = [
    "a",
    "b",
    "\\",
    "\\\\",
    "%",
    "%61",
    "%2561",
    "25",
    "4",
    "1",
    "\\u0061",
    "\\u",
    "00",
    "6",
    "\\x61",
    "\\141",
]
ESCAPED += [
    "\\ud83d",
    "\\ude00",
    "\U0001f600",
    "é",
    "\\u00e9",
    "%c3",
    "%A9",
    '"',
    '\\"',
    "\n",
    "\x1b[0m",
    " ",
    "+",
    "n",
]


@given(
    st.lists(st.text('ab\\%41é\U0001f600"n', min_size=1, max_size=5), min_size=1, max_size=3),
    st.lists(st.sampled_from(ESCAPED), max_size=30),
    st.lists(st.integers(0, 120), max_size=8),
)
def test_however_a_stream_with_escapes_is_cut_the_same_comes_out(
    secrets: list[str], parts: list[str], cuts: list[int]
) -> None:
    masker = Masker()
    for secret in secrets:
        masker.add(secret)
    data = "".join(parts).encode()
    stream = MaskStream(masker)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    shown = [stream.feed(data[start:end]) for start, end in itertools.pairwise(places)]
    assert b"".join([*shown, stream.finish()]) == masker.mask(data)


def test_base64_in_a_url_or_in_json_is_masked() -> None:
    secret = "s3cret>>>???value99"
    digits = base64.b64encode(secret.encode()).decode()
    assert "/" in digits
    in_small = re.sub("%..", lambda escape: escape[0].lower(), quote(digits, safe=""))
    masker = Masker()
    masker.add(secret)
    for written in (quote(digits, safe=""), quote_plus(digits), in_small, digits.replace("/", "\\/")):
        assert masker.mask_text(written) == "***"


def test_what_is_short_without_its_escapes_is_no_secret_and_text_with_escapes_stays() -> None:
    masker = Masker()
    masker.add("a\\b")
    masker.add("%41%42")
    text = rb"a ab AB \"ab\" C:\ab\AB 41% 42%20 \n\tab" + b"\n"
    assert masker.mask(text) == text
    assert masker.mask(rb'"a\\b" %2541%2542') == b'"***" ***'


def test_who_waits_for_output_waits_for_no_more_than_an_escape() -> None:
    masker = Masker()
    masker.add("p@ss w0rd")
    stream = MaskStream(masker)
    assert stream.feed(b"45 % and 50%") == b"45 % and 50"
    assert stream.feed(b" p%4") == b"% "
    assert stream.feed(b"0ss") == b""
    assert stream.feed(b"ion") == b"p%40ssion"


@pytest.mark.parametrize("text", ["\\" * 1000, "%" + "25" * 1000, "a" + "\\x61" * 1000])
def test_escapes_without_end_are_not_held_back(text: str) -> None:
    masker = Masker()
    masker.add("secret")
    stream = MaskStream(masker)
    shown = sum(len(stream.feed(bytes([byte]))) for byte in text.encode())
    assert len(text) - shown < 100


def test_a_text_without_escapes_knows_where_it_stands() -> None:
    view = UnescapedText(rb"x \"\u00e9%41y")
    assert view.text == 'x "éAy'.encode()
    assert [view.span(index, index + 1) for index in range(len(view.text))] == [
        *((0, 1), (1, 2), (2, 4), (4, 10), (4, 10), (10, 13), (13, 14))
    ]
