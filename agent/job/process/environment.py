"""A process's environment, layer by layer, the weakest first (github-facts section 3):

    what the host grants < the flow's `env` < the job's < GITHUB_ENV of earlier steps < the step's `env`
    < STATE_* < INPUT_* < PATH entries of earlier steps < GITHUB_* and RUNNER_* < ACTIONS_*

The agent's own environment is not in it: a job sees what `JobSettings.environment` grants and nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(slots=True)
class JobEnvironment:
    """What all steps of a job share, and how it grows."""

    granted: Mapping[str, str]  # of the host's environment
    values: dict[str, str] = field(
        default_factory=dict
    )  # the flow's, the job's, GITHUB_ENV: the `env` context
    paths: list[str] = field(default_factory=list)  # in front of PATH; the newest last

    def apply(self, env: Mapping[str, str], paths: list[str]) -> None:
        """Take over what a step wrote to GITHUB_ENV and GITHUB_PATH."""
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
    ) -> dict[str, str]:
        """A process's environment. `env` is the step's env context, `own` what no flow can override.

        `granted` stands for the host's environment elsewhere than on the machine; without `keeps_paths` the entries that
        steps added to PATH do not count.
        """
        built = {**(self.granted if granted is None else granted), **env}
        built.update((f"STATE_{name}", value) for name, value in state.items())
        built.update((input_variable(name), value) for name, value in inputs.items())
        path = built.get("PATH") or _DEFAULT_PATH
        built["PATH"] = self._prepend(path) if keeps_paths else path
        built.setdefault("CI", "true")
        built.update(own)
        built["GITHUB_ACTIONS"] = "true"
        return built

    def search_path(self, env: Mapping[str, str]) -> str:
        """The PATH of a process on the machine whose step has the env context `env`."""
        return self._prepend(env.get("PATH", self.granted.get("PATH", "")) or _DEFAULT_PATH)

    def _prepend(self, path: str) -> str:
        return ":".join([*reversed(self.paths), path])


def input_variable(name: str) -> str:
    """The variable in which an action finds its input: `fetch-depth` is INPUT_FETCH-DEPTH."""
    return f"INPUT_{name.replace(' ', '_').upper()}"
