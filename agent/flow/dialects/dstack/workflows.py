"""A workflow of a file, made into a job of the model.

Its commands are one script in one step: what one of them exports, activates or starts in the background is there for the next.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from agent.flow.dialects.dstack.apps import read_apps
from agent.flow.dialects.dstack.data import (
    Need,
    read_artifacts,
    read_cache,
    read_dependencies,
    read_needs,
    read_runs,
)
from agent.flow.dialects.dstack.environment import list_callers, read_environment
from agent.flow.dialects.dstack.interpolation import Interpolation
from agent.flow.dialects.dstack.makers import MAKERS, Made, Making, make_custom
from agent.flow.dialects.dstack.parts import as_written
from agent.flow.dialects.dstack.providers import CustomProvider, Providers, find_provider
from agent.flow.dialects.dstack.resources import count_gpus, read_resources, split_named_gpus
from agent.flow.dialects.dstack.steps import make_container, make_steps
from agent.flow.dialects.dstack.table.providers import CUSTOM, KNOWN_KEYS, PROVIDERS, UNTOLD
from agent.flow.dialects.dstack.table.shared import ANYWHERE
from agent.flow.dialects.dstack.variables import Variables, make_templates, name_variable
from agent.flow.members import find_close
from agent.flow.model import Input, Job, Template
from agent.flow.reading import Reader
from agent.flow.shapes import mapping
from agent.flow.source import Mapping as MappingNode
from agent.flow.source import Node, Scalar, key_text, plain
from agent.flow.tidied import list_fields, text_of

_NAME: Final = re.compile(r"[^/:,\s\x00-\x1f][^/:,\x00-\x1f]{0,99}")
_PLAIN: Final = ("name", "provider")  # keys in which `${{ }}` says nothing
_UNTOLD: Final = CustomProvider("", ())
_PARAMETER: Final = re.compile(r"\W+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workflow:
    """A workflow as it was read."""

    job: Job
    needs: tuple[Need, ...]  # of workflows that run before it, in the same run
    named: tuple[Need, ...]  # workflows of the project whose last runs it takes from
    inputs: tuple[
        Input, ...
    ]  # those that are its own: what its caller's environment gives, and what nobody has declared
    reads_args: bool


def read_name(reader: Reader, node: Node) -> str:
    """The name of a workflow; empty, and reported, where it has none that can be one."""
    if not isinstance(node, MappingNode):
        reader.report(node, "a workflow is a mapping", "write `- name: NAME`, and its keys below")
        return ""
    named = node.find("name")
    name = as_written(named)
    if named is None:
        reader.report(node, "Required property is missing: name")
    elif not _NAME.fullmatch(name):
        reader.report(
            named, f"'{name}' is no name of a workflow", "no `/`, `:` or `,`, at most 100 characters"
        )
        return ""
    return name


class WorkflowReader:
    """Reads the workflows of one file, whose variables and providers are those of its folder."""

    def __init__(
        self, reader: Reader, providers: Providers, variables: Variables, names: tuple[str, ...]
    ) -> None:
        self._reader = reader
        self._providers = providers
        self._variables = variables
        self._all = [variables.of(name) for name in names]

    def read(self, name: str, node: MappingNode) -> Workflow:
        """The workflow. Where its provider can't be told, which is reported, the rest is judged as one of a repository's own."""
        provider, custom = self._find_provider(node)
        templates = make_templates(self._variables.of(name), self._all)
        interpolation = Interpolation(self._reader, templates)
        fields, named_gpus = self._read_fields(interpolation, node, provider, custom)
        resources = read_resources(self._reader, fields.get("resources"), named_gpus)
        making = Making(self._reader, fields, node, gpus=count_gpus(resources), custom=custom)
        made = MAKERS[provider](making) if custom is None else make_custom(making)
        variables = {name_variable(key): f"${{{{ {template} }}}}" for key, template in templates.items()}
        env = self._read_env(fields, variables, made, custom)
        inputs = [
            *list_callers(fields.get("environment"), name, variables),
            *list_callers(fields.get("env"), name, variables),
            *_list_unknown(self._reader, name, interpolation),
        ]
        workflow = replace(_make_workflow(name, making, made, env, interpolation), inputs=tuple(inputs))
        return replace(workflow, job=replace(workflow.job, resources=resources))

    def _find_provider(self, node: MappingNode) -> tuple[str, CustomProvider | None]:
        provided = node.find("provider")
        if provided is None:
            hint = f"one of {', '.join(PROVIDERS)}"
            self._reader.report(node, "Required property is missing: provider", hint)
            return "", _UNTOLD
        provider, custom = find_provider(self._reader, provided, self._providers)
        return provider, custom if provider else _UNTOLD

    def _read_fields(
        self, interpolation: Interpolation, node: MappingNode, provider: str, custom: CustomProvider | None
    ) -> tuple[dict[str, Node], list[tuple[Node, str, Node]]]:
        """The workflow's nodes by key, as the table wants them and with templates for `${{ }}`."""
        plainly = MappingNode(node.file, node.line, node.column)
        named_gpus: list[tuple[Node, str, Node]] = []
        for key, value in node.pairs:
            name = key_text(key)
            if custom is _UNTOLD and name == "provider":
                continue  # what is wrong with it has been said
            if custom is _UNTOLD:
                self._check_spelling(key)
            if name == "resources" and isinstance(value, MappingNode):
                value, named_gpus = split_named_gpus(value)
            plainly.pairs.append((key, value if name in _PLAIN else interpolation.translate(value)))
        table = PROVIDERS[provider] if custom is None else UNTOLD if custom is _UNTOLD else CUSTOM
        return list_fields(self._reader.read(plainly, mapping(table), ANYWHERE)), named_gpus

    def _check_spelling(self, key: Scalar) -> None:
        """Report a key that no provider has and that is much like one: whichever provider is meant."""
        name = key_text(key)
        close = "" if name in KNOWN_KEYS else find_close(name, KNOWN_KEYS)
        if close:
            self._reader.report(key, f"Unexpected value '{name}'", f"did you mean `{close}`?")

    def _read_env(
        self,
        fields: Mapping[str, Node],
        variables: Mapping[str, Template],
        made: Made,
        custom: CustomProvider | None,
    ) -> dict[str, Template]:
        parameters = {} if custom is None else _hand_parameters(fields)
        env = read_environment(self._reader, fields.get("environment"), {**variables, **parameters})
        env = read_environment(self._reader, fields.get("env"), env)
        python = {"FLOW_PYTHON": made.python} if made.python else {}
        home = {"HOME": text_of(fields["home_dir"])} if custom is None and "home_dir" in fields else {}
        return {"RUN_NAME": "${{ run.name }}", **python, **home, **env}


def _make_workflow(
    name: str, making: Making, made: Made, env: dict[str, Template], interpolation: Interpolation
) -> Workflow:
    reader, fields, position = making.reader, making.fields, making.node.position
    needs, needed = read_needs(reader, fields.get("depends-on"))
    brought, named = read_dependencies(reader, fields.get("deps"))
    shown = read_runs(reader, fields.get("runs")) if making.custom is None else []
    home = text_of(fields.get("home_dir"))
    cached, kept_cache = read_cache(fields.get("cache"), name, home)
    job = Job(
        name,
        position,
        needs=tuple(dict.fromkeys(need.name for need in needs)),
        runs_on=[],
        env=env,
        steps=make_steps(making, made, name),
        timeout_minutes=0.0,  # as long as it takes
        container=make_container(making, made),
        nodes=made.nodes,
        sees_all_secrets=True,
        brings=(*needed, *brought, *shown, *cached),
        keeps=(*read_artifacts(reader, fields.get("artifacts"), home), *kept_cache),
        apps=read_apps(reader, fields.get("ports"), made.app, name, position),
    )
    return Workflow(job, tuple(needs), tuple(named), (), interpolation.reads_args)


def _list_unknown(reader: Reader, workflow: str, interpolation: Interpolation) -> Iterator[Input]:
    """Inputs for the variables that nobody has declared: whoever starts the workflow has to give them."""
    for key, node in interpolation.unknown.items():
        hint = f"it has to be given at the start (--{key} VALUE), or in variables.yaml"
        reader.warn(node, f"there is no variable '{key}'", hint)
        yield Input(key, "string", f"the variable {name_variable(key)}", required=True, jobs=(workflow,))


def _hand_parameters(fields: Mapping[str, Node]) -> dict[str, Template]:
    """What a workflow says to a provider of its repository: a variable for each key, and all of them as JSON."""
    known = {key for key in CUSTOM.keys if key not in ("image", "commands")}
    own = {key: node for key, node in fields.items() if key not in known}
    env: dict[str, Template] = {
        _PARAMETER.sub("_", key).upper(): as_written(node)
        for key, node in own.items()
        if isinstance(node, Scalar)
    }
    everything = json.dumps({key: plain(node) for key, node in own.items()}, ensure_ascii=False)
    return {**env, "WORKFLOW_DATA": everything}
