"""Data that a job is brought and that is kept of it, and the apps that it opens: parts of the model that few flows have."""

from dataclasses import dataclass

from agent.flow.written import Position, Template


@dataclass(frozen=True, slots=True)
class BroughtData:
    """What a job finds when its steps begin, as written: `agent.spec.data.Bring` says what each field means."""

    kind: str  # a BringKind
    of: Template
    position: Position
    path: Template = ""
    name: Template = ""
    job: Template = ""
    project: Template = ""
    in_data: bool = False
    is_read_only: bool = False
    is_optional: bool = False


@dataclass(frozen=True, slots=True)
class KeptData:
    """What is kept of what a job made, as written: `agent.spec.data.Keep` says what each field means."""

    kind: str  # a KeepKind
    path: Template
    position: Position
    name: Template = ""
    always: bool = False
    live: bool = False
    in_data: bool = False
    makes_folder: bool = False


@dataclass(frozen=True, slots=True)
class App:
    """A port that a job opens for people, who reach it through the server."""

    name: str
    position: Position
    port: Template = 0  # 0: the agent picks a free one; the job finds it as PORT_0, PORT_1, ... by its place among the job's
    opens: Template = "/"  # the path, and query, that a person is sent to
