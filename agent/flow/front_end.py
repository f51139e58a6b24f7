"""The front end of a language: its way from a file to a `Flow`, and what it can tell of itself.

`agent.flow.load` holds the table of them. Everything here is pure.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from agent.flow.composing import YamlLimits
from agent.flow.dialect import Dialect
from agent.flow.model import Flow, Job
from agent.flow.nodes import Node
from agent.flow.problems import Problem


class WrittenFlow(NamedTuple):
    """A flow as a text of a language. Where a loss is an error, the language has no equal for something, and the text is none."""

    text: str
    losses: tuple[Problem, ...]


class FrontEnd(NamedTuple):
    """What a folder of `agent.flow.dialects` has to offer."""

    dialect: Dialect
    limits: YamlLimits  # what a file of this language may cost
    # Of a file's nodes, its name and the texts of its companions: the flow, None where a problem is an error; and every problem.
    read: Callable[[Node, str, Mapping[str, str]], tuple[Flow | None, list[Problem]]]
    make_schema: Callable[[], Mapping[str, Any]]  # the language as a JSON schema, for editors
    make_page: Callable[[], str]  # the language in Markdown, for people
    # Of a flow, a job of it that calls another, and that other flow: what is wrong with the call. In most languages none calls one.
    check_call: Callable[[Flow, Job, Flow], list[Problem]] = lambda _flow, _job, _called: []
    # What is odd in an action's manifest; most languages have none of their own, or their manifests' front end says it.
    check_action: Callable[[Node], list[Problem]] = lambda _manifest: []
    write: Callable[[Flow], WrittenFlow] | None = (
        None  # a flow of whatever language, in this one; None: nobody has taught it
    )
    # Of a flow of this language: the same, with what its conventions alone bring said in its steps, so that it can be written in
    # another one; and what is a little different then. None: its steps say all.
    spell_out: Callable[[Flow], tuple[Flow, list[Problem]]] | None = None
    # Of a file's name: the patterns of the companions that are read with it (agent.flow.companions).
    list_companions: Callable[[str], Sequence[str]] = lambda _file: ()
    # Options of a command line, without dashes, that say something else than a job does, each with whether a value follows;
    # and of jobs and those that were given, in their order, the companion that says so: its path and text.
    options: Mapping[str, bool] = MappingProxyType({})
    write_overrides: Callable[[Sequence[str], Sequence[tuple[str, str]]], tuple[str, str]] | None = None
    # Of a provider, the word after it and a command (both may be empty): the text of a flow of one job, of the provider's name.
    write_alone: Callable[[str, str, str], str] | None = None
