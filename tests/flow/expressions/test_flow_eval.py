"""`agent flow eval`."""

import io
import json
import subprocess
import sys

import pytest

from agent.cli.flow.eval import run_eval
from agent.errors import UsageError


def run(expr=None, *, contexts=None, batch=None, output_format="json"):
    out = io.StringIO()
    code = run_eval(expr, contexts, batch, output_format, out)
    return code, out.getvalue()


@pytest.mark.parametrize(
    ("expr", "answer"),
    [
        ("'a' && 'b'", {"kind": "String", "value": "b"}), ("", {"kind": "Null", "value": None}), ("1 == 1", {"kind": "Boolean", "value": True}),
        ("0x10", {"kind": "Number", "value": 16}), ("NaN", {"kind": "Number", "value": "NaN"}), ("-Infinity", {"kind": "Number", "value": "-Infinity"}),
        ("fromJSON('[1e999, {\"a\": null}]')", {"kind": "Array", "value": ["Infinity", {"a": None}]}), ("fromJSON('{}')", {"kind": "Object", "value": {}}),
        ("fromJSON('\"\\ud800\"')", {"kind": "String", "value": "\ud800"}),
    ],
)  # fmt: skip
def test_json_says_kind_and_value(expr, answer):
    code, printed = run(expr)
    assert (code, json.loads(printed)) == (0, answer)


@pytest.mark.parametrize(
    ("expr", "kind", "message"),
    [
        ("1 @", "lexing", "Unexpected symbol: '@'. Located at position 3 within expression: 1 @"),
        ("1 +", "lexing", "Unexpected symbol: '+'. Located at position 3 within expression: 1 +"),
        ("a", "parsing", "Unrecognized named-value: 'a'. Located at position 1 within expression: a"),
        (
            "success()",
            "parsing",
            "Unrecognized function: 'success'. Located at position 1 within expression: success()",
        ),
        ("format('{')", "evaluation", "The following format string is invalid: {"),
    ],
)
def test_a_bad_expression_is_an_error_object_and_exit_1(expr, kind, message, capsys):
    code, printed = run(expr)
    assert (code, json.loads(printed)) == (1, {"error": {"kind": kind, "message": message}})
    assert run(expr, output_format="text") == (1, "")
    assert capsys.readouterr().err == f"agent: {message}\n"


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        ("'a b'", "a b\n"), ("null", "\n"), ("true", "true\n"), ("1.50", "1.5\n"), ("-0", "0\n"), ("NaN", "NaN\n"),
        ("fromJSON('[1, {}]')", "[\n  1,\n  {}\n]\n"), ("fromJSON('\"\\ud800\"')", "?\n"),
    ],
)  # fmt: skip
def test_text_is_the_value_itself(expr, text):
    assert run(expr, output_format="text") == (0, text)


def test_contexts_come_from_a_file(tmp_path):
    file = tmp_path / "contexts.json"
    file.write_text('{"github": {"ref": "refs/heads/é"}}', encoding="utf-8")
    assert run("GITHUB.REF", contexts=file, output_format="text") == (0, "refs/heads/é\n")


def test_a_batch_answers_line_by_line_in_order(tmp_path):
    file = tmp_path / "batch.jsonl"
    file.write_text(
        '{"expr": "a", "contexts": {"a": "\u2028"}}\n\n{"expr": "a ="}\n{"expr": "1", "contexts": null, "options": {}}\r\n',
        encoding="utf-8",
    )
    code, printed = run(batch=file, output_format="text")
    answers = [json.loads(line) for line in printed.splitlines()]
    assert code == 0
    assert answers[0] == {"kind": "String", "value": "\u2028"}
    assert answers[1]["error"]["kind"] == "lexing"
    assert answers[2] == {"kind": "Number", "value": 1}


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        (b'{"expr": "1"}\n{"expr": ', ":2", "not valid JSON"), (b'{"expr": 1}', ":1", "the line is not a case"), (b"[]", ":1", "the line is not a case"),
        (b'{"expr": "1", "contexts": []}\n{"expr": "1", "contexts": [1]}', ":2", "the line is not a case"), (b"\xff", "", "the file is not UTF-8 text"),
        (b"[" * 100_000, ":1", "not valid JSON"),
    ],
)  # fmt: skip
def test_a_bad_batch_is_named_with_its_line(tmp_path, content, place, what):
    file = tmp_path / "batch.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        run(batch=file)
    assert caught.value.what.startswith(what)
    assert caught.value.where == f"{file}{place}"
    assert caught.value.hint


@pytest.mark.parametrize("content", ["[]", "{", "1"])
def test_contexts_that_are_no_object_are_wrong_use(tmp_path, content):
    file = tmp_path / "contexts.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        run("1", contexts=file)
    assert caught.value.where == str(file)


def test_a_missing_file_and_wrong_arguments_are_wrong_use(tmp_path):
    for arguments in ({"contexts": tmp_path / "no"}, {"contexts": tmp_path}):
        with pytest.raises(UsageError, match="cannot read the file"):
            run("1", **arguments)
    with pytest.raises(UsageError, match="nothing to evaluate"):
        run()
    with pytest.raises(UsageError, match="takes no expression"):
        run("1", batch=tmp_path / "no")


def test_a_value_too_deep_to_print_is_an_error_and_no_traceback(tmp_path):
    file = tmp_path / "contexts.json"
    file.write_text('{"a": ' + "[" * 300 + "]" * 300 + "}", encoding="utf-8")
    code, printed = run("a", contexts=file)
    assert (code, json.loads(printed)["error"]["kind"]) == (1, "evaluation")


def test_memory_is_limited_to_a_megabyte(tmp_path):
    file = tmp_path / "contexts.json"
    file.write_text(json.dumps({"a": "x" * 200_000}), encoding="utf-8")
    assert run("format('{0}{0}{0}', a) == ''", contexts=file)[0] == 1
    assert run("a == ''", contexts=file)[0] == 0


def test_it_starts_with_nothing_heavy():
    code = (
        "import sys, agent.cli.flow.eval; "
        "heavy = {'dataclasses', 'inspect', 'logging', 'asyncio', 'yaml', 'httpx', 'docker', 'random', 'socket'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=60)


def test_the_expression_package_alone_imports_no_input_or_output():
    code = (
        "import sys; before = set(sys.modules); import agent.flow.expressions; "
        "forbidden = {'time', 'random', 'logging', 'socket', 'subprocess', 'pathlib', 'asyncio', 'threading'} & (set(sys.modules) - before); "
        "sys.exit(str(forbidden) if forbidden else 0)"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, timeout=60)
