"""A dialect as the rooms behind the front ends ask for it: contexts and words, without knowing which language it is.

A front end puts its `Dialect` on every `Flow` that it reads. The planner and the server take their words and the contexts
of a run from there: a name that only one language has is spelt in that language's own folder.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import NamedTuple

from agent.ids import RunId

# Expression contexts by name, as `agent.spec.job.Contexts`: any names.
Contexts = Mapping[str, Mapping[str, object]]
_NOTHING: Mapping[str, object] = MappingProxyType({})
_NOTHING_ELSEWHERE: Mapping[str, str] = MappingProxyType({})


class RunFacts(NamedTuple):
    """What is known of a run when it starts."""

    run: RunId
    number: int  # of this flow, from 1
    attempt: int
    flow_name: str
    flow_file: str
    event: str  # its name
    payload: Mapping[str, object]  # what the event brought along
    actor: str
    inputs: Mapping[str, object] = _NOTHING  # typed
    url: str = ""  # of the repository with the run's code; empty, as the next two, where there is none
    ref: str = ""
    commit: str = ""
    default_branch: str = ""  # empty where nobody said
    jobs: tuple[str, ...] = ()  # those that were asked for; empty: all
    name: str = ""  # the run's readable name, such as wet-mangust-1
    written: Mapping[str, object] = _NOTHING  # the file as data, where the flow reads itself
    project: str = ""  # its number at the server; empty for a run without one


class Dialect(NamedTuple):
    """One flow language, as far as it is asked for when the flow has been read. All functions are pure."""

    name: str
    events: Collection[str]  # that may start a flow, by its words
    by_hand: str  # its word for the event of a run that a person or a program starts by the flow's name
    by_hand_hint: str  # what to write, so that this can be done
    conventions: str  # what its jobs expect around them: a name of agent.spec.conventions
    debug_variables: Mapping[str, str]  # with which the steps of a run show their debug output
    start_contexts: Callable[[RunFacts], Contexts]  # those that it brings into a run
    next_contexts: Callable[[Contexts, int, str], Contexts]  # for the attempt of that number, by that actor
    job_contexts: Callable[[Contexts, str], Contexts]  # for the job of that id
    called_contexts: Callable[[Contexts, str], Contexts]  # for a job of the called flow in that file
    # Expressions of it, as patterns, and how the language that files are in by default says the same.
    elsewhere: Mapping[str, str] = _NOTHING_ELSEWHERE
    arguments_input: str = (
        ""  # the input that takes further words of a command line, quoted for a shell; empty: none does
    )
    # Where in the contexts that it brings the event stands, or a part of it that may be as long: the names on the way there.
    event_places: tuple[tuple[str, ...], ...] = ()
    names_runs: bool = False  # its jobs are told their run's readable name
    names_are_unique: bool = False  # no two flows of a project have one name
