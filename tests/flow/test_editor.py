"""The JSON schema for editors takes everything that the parser takes, and knows the keys."""

import json

import pytest
from support.flows import check_flow

from agent.flow.load import find_front_end
from agent.flow.problems import Severity
from agent.flow.source import plain, read_nodes

from .oracle.corpus import GOOD, make_corpus
from .test_conformance import VECTORS


def is_valid(text):
    return not any(problem.severity is Severity.ERROR for problem in check_flow(text, "f.yml", "github"))


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip(
        "jsonschema", reason="the dev extra has jsonschema; it is not installed here"
    )
    schema = find_front_end().make_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def find_refused(validator, texts):
    return [
        (text, [f"{list(error.path)}: {error.message[:200]}" for error in errors])
        for text in texts
        if is_valid(text) and (errors := list(validator.iter_errors(plain(read_nodes(text, "f.yml")[0]))))
    ]


def test_it_takes_what_the_parser_takes(validator):
    assert find_refused(validator, make_corpus(count=800, seed=7)) == []


def test_it_takes_the_official_workflows(validator):
    if not VECTORS.exists():
        pytest.skip(f"{VECTORS} is not on this machine")
    texts = [json.loads(line)["workflow"] for line in VECTORS.read_text().splitlines()]
    assert find_refused(validator, texts) == []


@pytest.mark.parametrize(
    "text",
    [
        "on: pus\njobs: {a: {runs-on: x}}",
        "on: push\njobs: {a: {run-on: x}}",
        "on: push\njobs: {a: {runs-on: x, steps: [{run: a, uses: b}]}}",
        "on: push\njobs: {a: {runs-on: x, steps: [{parallel: [{rum: a}]}]}}",
        "on: push\nenv: 5\njobs: {a: {runs-on: x}}",
        "jobs: {a: {runs-on: x}}",
        "on: push\njobs: {a: {runs-on: x, concurrency: {queue: max}}}",
        "on: {push: {branch: x}}\njobs: {a: {runs-on: x}}",
    ],
)
def test_it_refuses_what_an_editor_should_underline(validator, text):
    assert not is_valid(text)
    assert list(validator.iter_errors(plain(read_nodes(text, "f.yml")[0])))


def test_keys_have_their_meaning_and_good_workflows_their_shape():
    schema = find_front_end().make_schema()
    assert schema["$defs"]["flow"]["properties"]["on"]["description"] == "What starts the flow."
    assert schema["$defs"]["parallel-step"]["properties"]["parallel"]["items"]["anyOf"]
    assert all(is_valid(text) for text in GOOD)
