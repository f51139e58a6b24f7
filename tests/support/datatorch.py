"""DataTorch flows run by the real command, with actions that are git repositories of the test's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.git import make_repository
from support.lab import Done, run_agent

ADD = """\
name: Python Add
inputs: {a: {type: integer, required: true}, b: {type: integer, required: true}}
outputs: {sum: {type: integer}}
runs: {using: python, main: add.py}
"""
ADD_PY = """\
import datatorch

inputs = datatorch.get_inputs()
datatorch.set_output("sum", inputs["a"] + inputs["b"])
"""
DIVIDE = """\
name: Divide
inputs: {num: {type: float, required: true}, by: {type: float, default: 1}}
outputs: {result: {type: number}}
runs: {using: node, main: divide.js}
"""
DIVIDE_JS = "console.log('::result::' + JSON.stringify(process.env.INPUT_NUM / process.env.INPUT_BY))\n"
# What it is given, as its environment and its argument tell: the first thing that one asks of a step.
ECHO = """\
name: Echo
inputs: {text: {}}
runs: {using: cmd, command: 'echo "[$INPUT_TEXT]"'}
"""
SHOW = """\
name: Show
inputs: {value: {}}
outputs: {seen: {}}
runs: {using: python, main: show.py}
"""
SHOW_PY = """\
import json, os, sys

print(f"::seen::{sys.argv[-1]}")
print("::env::" + json.dumps({k: v for k, v in os.environ.items() if k.startswith(("INPUT_", "TOKEN", "OTHER"))}))
"""
TYPED = """\
name: Typed
author: A lab
description: One input of each type.
cache: false
inputs:
  string: {type: string, description: Text., multiline: true}
  float: {type: float, default: 0.5}
  integer: {type: integer, required: true}
  boolean: {type: boolean, default: true}
  array: {type: array, default: []}
  list: {type: list}
  level: {type: string, options: [low, high], default: low}
  old: {deprecationMessage: Use string.}
  templated: {default: "${{ pipeline.name }} ${{ input.integer }}"}
outputs:
  seen: {type: string, description: All of it., multiline: true, options: []}
runs: {using: python, main: show.py}
"""
OTHER = """\
name: Other
runs: {using: script, main: "go one"}
"""
COMMAND = """\
name: Command
inputs: {text: {type: string}}
runs:
  using: %s
  command: |
    printf '::text::"%%s"\\n' "$INPUT_TEXT"
    echo ::length::${#INPUT_TEXT}
    test -d "${{ directory.temp }}"
"""
LINES = """\
name: Lines
runs:
  using: cmd
  command: |
    echo '::debug::text'
    echo '::no json::{a'
    echo '::nan::NaN'
    echo 'a::b::1'
    echo '::ok::[1,{}]'
    echo ' ::two words::"x"'
    echo plain=text >> $GITHUB_OUTPUT
"""
COMPOSITE = """\
name: Composite
inputs: {who: {default: nobody}}
outputs: {said: {value: "${{ steps.says.outputs.text }} of ${{ inputs.who }}"}}
runs:
  using: composite
  steps:
    - {run: echo LATER=yes >> $GITHUB_ENV, shell: bash}
    - {id: says, run: 'echo "text=$LATER" >> $GITHUB_OUTPUT', shell: bash}
"""
NODE = """\
name: Node
inputs: {fetch-depth: {default: '1'}, list: {}, step: {}}
runs: {using: node20, main: main.js}
"""
NODE_JS = """\
require('fs').appendFileSync(process.env.GITHUB_OUTPUT, `depth=${process.env['INPUT_FETCH-DEPTH']}\\nlist=${process.env.INPUT_LIST}\\nstep=${process.env.INPUT_STEP}\\n`)
"""
PUBLISHED = {
    "typed": {
        "action-datatorch.yaml": TYPED,
        "show.py": SHOW_PY,
        "more/other.yaml": OTHER,
        "more/go": '#!/bin/sh\necho ::given::1\necho "::word::\\"$1\\""\n',
    },
    "command": {"action-datatorch.yaml": COMMAND % "cmd"},
    "commandline": {"action-datatorch.yaml": COMMAND % "commandline"},
    "shell": {"action-datatorch.yaml": COMMAND % "shell"},
    "script": {
        "action-datatorch.yaml": "name: S\ninputs: {text: {}}\nruns: {using: script, main: run.sh x}\n",
        "run.sh": 'echo "::text::\\"$INPUT_TEXT$1\\""\n',
    },
    "lines": {"action-datatorch.yaml": LINES},
    "add": {"action-datatorch.yaml": ADD, "add.py": ADD_PY},
    "divide": {"action-datatorch.yaml": DIVIDE, "divide.js": DIVIDE_JS},
    "echo": {"action-datatorch.yaml": ECHO},
    "show": {"action-datatorch.yaml": SHOW, "show.py": SHOW_PY},
}


@dataclass(frozen=True)
class Ran:
    """A local run, as a test wants to read it."""

    done: Done

    @property
    def code(self) -> int:
        return self.done.code

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.done.records() if record["kind"] == kind]

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """How each step of the flow ended, by its name."""
        ended = (record for record in self.of_kind("step") if record["state"] == "completed")
        return {step["name"]: step for step in ended if step["name"] not in ("Set up job", "Complete job")}

    def outputs(self, step: str) -> dict[str, Any]:
        """What a step gave, by its name."""
        outputs: dict[str, Any] = self.steps[step]["outputs"]
        return outputs

    @property
    def log(self) -> list[str]:
        return [record["text"] for record in self.of_kind("log")]

    @property
    def jobs(self) -> dict[str, str]:
        """The jobs' conclusions."""
        return {record["job"]: record["conclusion"] for record in self.of_kind("job")}


class Bench:
    """A project with flows, and a git host's folder with actions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.project.mkdir()
        for name, files in PUBLISHED.items():
            self.publish(f"datatorch-actions/{name}", files)
        self.publish("acme/composite", {"action.yml": COMPOSITE})
        self.publish("acme/node", {"action.yml": NODE, "main.js": NODE_JS})

    @property
    def actions_url(self) -> str:
        return f"{(self.folder / 'git').as_uri()}/{{owner}}/{{repo}}"

    def publish(self, name: str, files: dict[str, str], *tags: str) -> None:
        """A repository `owner/repo` with an action, tagged v1 unless said otherwise."""
        make_repository(self.folder / "git" / name, files, tags=tags or ("v1",))

    def write(self, text: str, name: str = "flow.yml") -> Path:
        """A flow file of the project."""
        file = self.project / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def agent(self, *arguments: object, **environment: str) -> Done:
        """The real command, in the project."""
        state = {"AGENT_STATE": str(self.folder / "state"), "TMPDIR": str(self.folder)}
        return run_agent(*arguments, cwd=self.project, environment={**state, **environment})

    def run(self, text: str, *options: object, name: str = "flow.yml", **environment: str) -> Ran:
        """Run a flow of that text here."""
        file = self.write(text, name)
        wanted = ("--format", "json", "--actions-url", self.actions_url)
        return Ran(self.agent("flow", "run", file, *wanted, *options, **environment))

    def validate(self, text: str, name: str = "flow.yml") -> list[str]:
        """Every problem of a flow, as `place: message`."""
        done = self.agent("flow", "validate", self.write(text, name).name, "--format", "json")
        return [
            f"{one['line']}:{one['column']}: {one['severity']}: {one['message']}"
            for one in json.loads(done.out)
        ]
