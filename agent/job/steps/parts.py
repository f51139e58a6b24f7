"""Parts of a job that others give it: what it may know of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.job.process.hosts import StepHost

if TYPE_CHECKING:  # it brings the YAML reader along, which a job of nothing but scripts never needs
    from agent.resolve.manifests.model import ActionManifest


class StepAction(Protocol):
    """What is known of an action that a `uses:` named (agent.resolve.ResolvedAction)."""

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        ...

    @property
    def root(self) -> Path:
        """The repository that it lies in."""
        ...

    @property
    def commit(self) -> str:
        """The commit that its ref stood for; empty for a folder of the workspace."""
        ...

    @property
    def origin(self) -> str:
        """Where its repository comes from."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should be told about how it was found."""
        ...

    @property
    def manifest(self) -> "ActionManifest":
        """What it says about itself."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What is the same for all steps that run at one host: made once, for most of a step's variables are these."""

    host: StepHost
    runner: Mapping[str, object]  # the `runner` context
    github: Mapping[str, object]  # `github`, less what is the step's or its scope's own
    variables: Mapping[str, str]  # made of these two


class Bystander(Protocol):
    """Whoever can say what a process beside the latest step begins with (agent.job.steps.steprun.StepRun)."""

    def describe_environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        """Its environment, with `extra`."""
        ...
