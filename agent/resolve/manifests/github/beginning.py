"""New actions of GitHub's kind that work, to be changed into what they shall be."""

from collections.abc import Mapping
from typing import Final

from agent.resolve.manifests.beginnings import ActionHome

_MANIFEST: Final = """\
name: {name}
description: Say hello, and give back what was said.
inputs:
  who-to-greet:
    description: A name.
    default: world
outputs:
  greeting:
    description: What was said.
{outputs}runs:
{runs}"""
_COMPOSITE: Final = """\
  using: composite
  steps:
    - id: greet
      shell: bash
      # A value goes through the environment, not into the script: it may hold quotes.
      env:
        WHO: ${{ inputs.who-to-greet }}
      run: |
        echo "Hello, $WHO"
        echo "greeting=Hello, $WHO" >> "$GITHUB_OUTPUT"
"""
_PYTHON: Final = '''\
"""Runs in an environment of its own, with what a requirements.txt beside this file lists."""

import os

who = os.environ["INPUT_WHO-TO-GREET"]
print(f"Hello, {who}")
with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
    outputs.write(f"greeting=Hello, {who}\\n")
'''
_NODE: Final = """\
// Only what is in this folder is there when it runs: bundle dependencies, or keep node_modules in version control.
const fs = require("node:fs");

const who = process.env["INPUT_WHO-TO-GREET"];
console.log(`Hello, ${who}`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `greeting=Hello, ${who}\\n`);
"""
_DOCKER: Final = """\
  using: docker
  image: Dockerfile
  # An input with a hyphen in its name is no variable of a shell: it comes as an argument.
  args:
    - ${{ inputs.who-to-greet }}
"""
_DOCKERFILE: Final = """\
# Built on the machine that runs the job, when it runs. The workspace is mounted there; `USER` and `WORKDIR` are better left alone.
FROM alpine:3.22
COPY entrypoint.sh /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
"""
_ENTRYPOINT: Final = """\
#!/bin/sh
set -eu
echo "Hello, $1"
echo "greeting=Hello, $1" >> "$GITHUB_OUTPUT"
"""
_README: Final = """\
# {name}

```yaml
- uses: {uses}
  with:
    who-to-greet: world
```

| input | means | default |
| --- | --- | --- |
| `who-to-greet` | a name | `world` |

| output | means |
| --- | --- |
| `greeting` | what was said |

Test it, in {where}: `{command}`
"""
_TEST: Final = """\
# Uses the action of this repository and checks what it gives: {command}
name: test
on: workflow_dispatch
jobs:
  test:
    runs-on: self-hosted
    steps:
      - uses: flow-agent/checkout@v1
      - id: hello
        uses: ./{path}
        with:
          who-to-greet: tester
      - name: The greeting is given back
        env:
          GREETING: ${{{{ steps.hello.outputs.greeting }}}}
        run: test "$GREETING" = "Hello, tester"
"""
_COMPOSITE_OUTPUT: Final = "    value: ${{ steps.greet.outputs.greeting }}\n"
_PROGRAM: Final = "  using: {using}\n  main: {main}\n"
_RUNS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "composite": (_COMPOSITE, {}),
    "python": (_PROGRAM.format(using="python", main="main.py"), {"main.py": _PYTHON}),
    "node": (_PROGRAM.format(using="node24", main="main.js"), {"main.js": _NODE}),
    "docker": (_DOCKER, {"Dockerfile": _DOCKERFILE, "entrypoint.sh": _ENTRYPOINT}),
}


def make_files(name: str, using: str, home: ActionHome) -> dict[str, str]:
    """The files of a new action by their names; those that begin with `#!` are programs."""
    runs, scripts = _RUNS[using]
    quoted = "'" + name.replace("'", "''") + "'"
    outputs = _COMPOSITE_OUTPUT if using == "composite" else ""
    command = f"agent flow run {home.path + '/' if home.path else ''}test.yml"
    where = "the repository's folder" if home.path else "this folder"
    return {
        "action.yml": _MANIFEST.format(name=quoted, outputs=outputs, runs=runs),
        **scripts,
        "README.md": _README.format(name=name, uses=home.uses, where=where, command=command),
        "test.yml": _TEST.format(path=home.path, command=command),
    }
