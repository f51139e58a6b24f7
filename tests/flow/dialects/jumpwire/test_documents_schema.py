"""The documents' JSON schema of a flow and ours accept and refuse the same files, and ours refuses more for what the words beside it say.

The schema is draft-07, as `docs/flows/index.md` of extragood-io/jumpwire-docs has it (commit 3c9cfd9): `name` and `stages`, nothing
else; of a stage `name` and `action`, a free `config`, and `out`. Its samples write one `out` as a text, which is taken too.
"""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft7Validator

from agent.flow.load import find_front_end, inspect_flow
from agent.flow.problems import Severity

DOCUMENTS = Draft7Validator(
    {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "stages"],
        "properties": {
            "name": {"type": "string"},
            "stages": {
                "type": "array",
                "items": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["name", "action"],
                    "properties": {
                        "name": {"type": "string"},
                        "action": {"type": "string"},
                        "config": {"type": "object"},
                        "out": {
                            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
                        },
                    },
                },
            },
        },
    }
)
FILES = 200
Json = dict[str, Any]


def is_valid(flow: object) -> bool:
    _, problems = inspect_flow(json.dumps(flow), "flow.json", "jumpwire")
    return not any(problem.severity is Severity.ERROR for problem in problems)


def make_flow(chance: random.Random) -> Json:
    """A flow with nothing wrong in it: a trigger, and stages of which each comes after an earlier one."""
    flow: Json = {"name": f"flow {chance.random():.3f}", "stages": [make_trigger(chance)]}
    stages = flow["stages"]
    for index in range(chance.randrange(6)):
        stage = {"name": chance.choice([f"stage {index}", f"s{index}", f"{index}"]), **make_work(chance)}
        for before in chance.sample(stages, min(len(stages), chance.choice([1, 1, 2]))):
            before["out"] = [*before.get("out", []), stage["name"]]
        stages.append(stage)
    for stage in stages:
        if len(stage.get("out", [])) == 1 and chance.random() < 0.5:
            stage["out"] = stage["out"][0]
    chance.shuffle(stages)
    return flow


def make_trigger(chance: random.Random) -> Json:
    return chance.choice(
        [
            {"name": "in", "action": "webhook", "config": {"path": "/orders"}},
            {"name": "in", "action": "udp", "config": {"port": 9999}},
            {"name": "in", "action": "kinesis", "config": {"stream": "s", "cold_start": "latest"}},
            {"name": "in", "action": "manual"},
        ]
    ).copy()


def make_work(chance: random.Random) -> Json:
    return chance.choice(
        [
            {"action": "noop"},
            {"action": "delay", "config": {"seconds": chance.random()}},
            {"action": "field_map", "config": {"take": ["a"], "convert": {"a": "int"}}},
            {"action": "filter", "config": {"field": ["a", "b"], "match": "x", "reject_matches": False}},
            {
                "action": "webhook",
                "config": {"url": "${secret.my-host}", "headers": [{"A": "${secrets.KEY}"}]},
            },
            {"action": "merge_data", "config": {"data": {"deep": {"er": [1, None, True]}}}},
            {"action": "acme/score@v1", "config": {"model": "large", "free": {"as": ["it", "is"]}}},
        ]
    )


# Each breaks, or not, the form of a flow; the documents' schema says whether it did.
Change = Callable[[random.Random, Json, Json], object]
_STRANGE: list[object] = [5, 1.5, True, None, [], ["a"], [["a"]], [5], {}, {"a": "b"}, [None]]
CHANGES: dict[str, Change] = {
    "nothing": lambda _chance, _flow, _stage: None,
    "no name": lambda _chance, flow, _stage: flow.pop("name"),
    "no stages": lambda _chance, flow, _stage: flow.pop("stages"),
    "a key more": lambda chance, flow, _stage: flow.update({chance.choice(["jobs", "on", "tags", "stage"]): "x"}),
    "a strange name": lambda chance, flow, _stage: flow.update(name=chance.choice(_STRANGE)),
    "strange stages": lambda chance, flow, _stage: flow.update(stages=chance.choice([5, "x", {}, None, [5], ["a"], [None], [[]]])),
    "a stage without a name": lambda _chance, _flow, stage: stage.pop("name"),
    "a stage without an action": lambda _chance, _flow, stage: stage.pop("action"),
    "a key more in a stage": lambda chance, _flow, stage: stage.update({chance.choice(["outs", "with", "Name", "in"]): "x"}),
    "a strange name of a stage": lambda chance, _flow, stage: stage.update(name=chance.choice(_STRANGE)),
    "a strange action": lambda chance, _flow, stage: stage.update(action=chance.choice(_STRANGE)),
    "a strange config": lambda chance, _flow, stage: stage.update(config=chance.choice([5, "x", None, True, [], ["a"]])),
    "a strange out": lambda chance, _flow, stage: stage.update(out=chance.choice([5, None, True, {}, {"a": "b"}, [5], [None], [["a"]]])),
    "no out": lambda _chance, _flow, stage: stage.update(out=[]) if "out" not in stage else None,
}  # fmt: skip


def make_files() -> list[tuple[str, Json]]:
    """Files that differ in their form alone: half are as they should be, the others are changed in one place."""
    chance = random.Random(2021)
    files = []
    for index in range(FILES):
        flow = make_flow(chance)
        name = "nothing" if index % 2 else list(CHANGES)[(index // 2) % len(CHANGES)]
        CHANGES[name](chance, flow, chance.choice(flow["stages"]))
        files.append((name, flow))
    return files


def test_both_accept_and_refuse_the_same_files() -> None:
    files = make_files()
    theirs = [DOCUMENTS.is_valid(flow) for _, flow in files]
    assert [
        (name, flow) for (name, flow), valid in zip(files, theirs, strict=True) if is_valid(flow) != valid
    ] == []
    assert theirs.count(True) > 100
    assert theirs.count(False) > 75
    assert {name for name, _ in files} == set(CHANGES)


def test_the_schema_for_editors_accepts_what_the_documents_accept_of_them() -> None:
    from jsonschema import Draft202012Validator

    schema = find_front_end("jumpwire").make_schema()
    Draft202012Validator.check_schema(schema)
    ours = Draft202012Validator(schema)
    refused = [flow for _, flow in make_files() if DOCUMENTS.is_valid(flow) and not ours.is_valid(flow)]
    assert refused == []


# What the schema cannot say and the words beside it do: names are unique, stages make a graph without circles that begins with a trigger.
GRAPHS: dict[str, list[Json]] = {
    "no stage": [],
    "no trigger": [{"name": "a", "action": "noop"}],
    "a name twice": [{"name": "a", "action": "manual"}, {"name": "a", "action": "manual"}],
    "nobody": [{"name": "a", "action": "manual", "out": ["b"]}],
    "a circle": [{"name": "t", "action": "manual", "out": ["a"]}, {"name": "a", "action": "noop", "out": ["a"]}],
    "out of reach": [{"name": "t", "action": "manual"}, {"name": "a", "action": "noop"}],
    "before a trigger": [{"name": "t", "action": "manual", "out": ["u"]}, {"name": "u", "action": "manual"}],
    "no name": [{"name": "", "action": "manual"}],
    "no action": [{"name": "a", "action": ""}],
    "an unknown action": [{"name": "a", "action": "manual", "out": "b"}, {"name": "b", "action": "nope"}],
    "a config without what it needs": [{"name": "a", "action": "udp", "config": {}}],
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_ours_is_stricter_where_the_words_beside_the_schema_are(name: str) -> None:
    flow = {"name": "f", "stages": GRAPHS[name]}
    assert DOCUMENTS.is_valid(flow)
    assert not is_valid(flow)


@pytest.mark.parametrize(
    ("stage", "accepts"),
    [
        ({"name": "a", "action": "webhook", "config": {"path": "/x"}}, True),
        (
            {
                "name": "a",
                "action": "webhook",
                "config": {"url": "http://h", "headers": [{"A": "b"}, ["C", "d"]]},
            },
            True,
        ),
        ({"name": "a", "action": "webhook", "config": {"url": "http://h", "event_body": "yes"}}, False),
        ({"name": "a", "action": "webhook"}, False),
        ({"name": "a", "action": "kinesis", "config": {"stream": "s"}}, True),
        ({"name": "a", "action": "udp", "config": {"port": "x"}}, False),
        ({"name": "a", "action": "filter", "config": {"match": "x"}}, False),
        ({"name": "a", "action": "filter", "config": {"field": "f", "match": "x", "more": 1}}, True),
        ({"name": "a", "action": "noop", "config": {"retry": {"attempts": 3}}}, True),
        ({"name": "a", "action": "noop", "config": {"retry": {"attemps": 3}}}, False),
        ({"name": "a", "action": "webhok"}, False),
        ({"name": "a", "action": "acme/score@v1", "config": {"whatever": [1]}}, True),
    ],
)
def test_an_editor_knows_the_config_of_each_action(stage: Json, accepts: bool) -> None:
    from jsonschema import Draft202012Validator

    schema = Draft202012Validator(find_front_end("jumpwire").make_schema())
    assert schema.is_valid({"name": "f", "stages": [stage]}) is accepts


def test_an_editor_is_told_what_a_key_is_for_and_what_it_is_unless_said() -> None:
    definitions = find_front_end("jumpwire").make_schema()["$defs"]
    assert definitions["zip"]["properties"]["event_limit"] == {
        "description": "How many records of each stage before it may wait.", "type": "number", "default": 100,
    }  # fmt: skip
    assert definitions["webhook-with-path"]["required"] == ["path"]
