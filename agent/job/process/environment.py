"""A process's environment, layer by layer, the weakest first (github-facts section 3):

    what the host grants < the flow's `env` < the job's < what earlier steps wrote for later ones < the step's `env`
    < state < inputs < PATH entries of earlier steps < what is the job's and the machine's < ACTIONS_*

The names of variables are the conventions'. The agent's own environment is not in it: a job sees what `JobSettings.environment` grants and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.spec.conventions import Conventions

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class JobEnvironment:
    """What all steps of a job share, and how it grows."""

    granted: Mapping[str, str]  # of the host's environment
    conventions: Conventions
    values: dict[str, str] = field(
        default_factory=dict
    )  # the flow's, the job's, what steps wrote: the `env` context
    paths: list[str] = field(default_factory=list)  # in front of PATH; the newest last

    def apply(self, env: Mapping[str, str], paths: list[str]) -> None:
        """Take over what a step wrote for later ones."""
        self.values.update(env)
        for path in paths:
            if path in self.paths:
                self.paths.remove(path)
            self.paths.append(path)

    def build(
        self,
        env: Mapping[str, str],
        *,
        state: Mapping[str, str],
        inputs: Mapping[str, str],
        own: Mapping[str, str],
        granted: Mapping[str, str] | None = None,
        keeps_paths: bool = True,
        words: Conventions | None = None,
    ) -> dict[str, str]:
        """A process's environment. `env` is the step's env context, `own` what no flow can override.

        `granted` stands for the host's environment elsewhere than on the machine; without `keeps_paths` the entries that
        steps added to PATH do not count. `words` are the action's, where they are not the job's.
        """
        built = {**(self.granted if granted is None else granted), **env}
        words = words or self.conventions
        built.update((f"{words.state_prefix}{name}", value) for name, value in state.items())
        built.update((words.input_variable(name), value) for name, value in inputs.items())
        path = built.get("PATH") or _DEFAULT_PATH
        built["PATH"] = self._prepend(path) if keeps_paths else path
        for name, value in words.usually.items():
            built.setdefault(name, value)
        built.update(own)
        built.update(words.always)
        return built

    def search_path(self, env: Mapping[str, str]) -> str:
        """The PATH of a process on the machine whose step has the env context `env`."""
        return self._prepend(env.get("PATH", self.granted.get("PATH", "")) or _DEFAULT_PATH)

    def _prepend(self, path: str) -> str:
        return ":".join([*reversed(self.paths), path])
