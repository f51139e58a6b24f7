"""Words of the manifest: its keys, types and ways to run, and which contexts may become part of a command."""

from typing import Final

TOP: Final = ("name", "author", "description", "cache", "inputs", "outputs", "env", "runs", "$schema")
INPUT: Final = (
    "type", "description", "deprecationMessage", "required", "default", "multiline", "options",
)  # fmt: skip
OUTPUT: Final = ("type", "description", "multiline", "options")
RUNS: Final = ("using", "command", "main", "script", "image")

# As written, and as whoever casts an input calls it.
TYPES: Final = {
    "string": "string",
    "float": "float",
    "integer": "integer",
    "boolean": "boolean",
    "array": "array",
    "list": "array",
}
USING: Final = ("cmd", "script", "node", "python", "docker", "human")
COMMANDS: Final = ("cmd", "commandline", "shell")

# What the machine or the flow's own author says (a job's name may hold what a run was started with). All else may have come from outside, and a shell would read it.
HARMLESS: Final = frozenset({"agent", "directory", "machine", "python", "action", "step", "pipeline", "flow"})

LONGEST_NAME: Final = 40
LONGEST_DESCRIPTION: Final = 500
