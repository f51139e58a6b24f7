"""`agent action init`: a new action that works, to be changed into what it shall be."""

from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from agent.errors import AgentError, UsageError
from agent.resolve.manifests import FRONT_ENDS

_MANIFEST = """\
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

_COMPOSITE = """\
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

_PYTHON = '''\
"""Runs in an environment of its own, with what a requirements.txt beside this file lists."""

import os

who = os.environ["INPUT_WHO-TO-GREET"]
print(f"Hello, {who}")
with open(os.environ["GITHUB_OUTPUT"], "a", encoding="utf-8") as outputs:
    outputs.write(f"greeting=Hello, {who}\\n")
'''

_NODE = """\
// Only what is in this folder is there when it runs: bundle dependencies, or keep node_modules in version control.
const fs = require("node:fs");

const who = process.env["INPUT_WHO-TO-GREET"];
console.log(`Hello, ${who}`);
fs.appendFileSync(process.env.GITHUB_OUTPUT, `greeting=Hello, ${who}\\n`);
"""

_README = """\
# {name}

```yaml
- uses: OWNER/{name}@v1
  with:
    who-to-greet: world
```

| input | means | default |
| --- | --- | --- |
| `who-to-greet` | a name | `world` |

| output | means |
| --- | --- |
| `greeting` | what was said |

Test it, in this folder: `agent flow run test.yml`
"""

_TEST = """\
# Uses the action of this folder and checks what it gives: agent flow run test.yml
name: test
on: workflow_dispatch
jobs:
  test:
    runs-on: self-hosted
    steps:
      - uses: flow-agent/checkout@v1
      - id: hello
        uses: ./
        with:
          who-to-greet: tester
      - name: The greeting is given back
        env:
          GREETING: ${{ steps.hello.outputs.greeting }}
        run: test "$GREETING" = "Hello, tester"
"""

_COMPOSITE_OUTPUT = "    value: ${{ steps.greet.outputs.greeting }}\n"
_SCRIPTS = {"python": ("main.py", _PYTHON), "node": ("main.js", _NODE)}


def begin_action(folder: Path, using: str, manifest: str, out: TextIO) -> int:
    """Write a new action with that manifest into `folder`. Raises UsageError when there is something in it already."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the folder is not empty", where=str(folder), hint="name a new one")
    name = folder.resolve().name
    files = _begin(name, using, manifest) if manifest else _files(name, using or "composite")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise AgentError(f"the action can't be written: {error.strerror}", where=str(folder)) from None
    out.write("".join(f"{folder / name}\n" for name in files))
    out.write(f"test it: cd {folder} && agent flow run test.yml\n")
    return 0


def _begin(name: str, using: str, manifest: str) -> Mapping[str, str]:
    known = {file: front.beginnings for file, front in FRONT_ENDS.items() if front.beginnings}
    if manifest not in known:
        raise UsageError(
            f"no action begins with '{manifest}'", where="--manifest", hint=f"one of {', '.join(known)}"
        )
    beginnings = known[manifest]
    using = using or next(iter(beginnings))
    if using not in beginnings:
        raise UsageError(
            f"no {manifest} runs '{using}'", where="--using", hint=f"one of {', '.join(beginnings)}"
        )
    return beginnings[using](name)


def _files(name: str, using: str) -> dict[str, str]:
    if using not in ("composite", *_SCRIPTS):
        raise UsageError(
            f"there is no beginning that runs '{using}'", where="--using", hint="or name --manifest"
        )
    outputs, runs, scripts = _COMPOSITE_OUTPUT, _COMPOSITE, {}
    if using in _SCRIPTS:
        script, text = _SCRIPTS[using]
        outputs = ""
        runs = f"  using: {'node24' if using == 'node' else using}\n  main: {script}\n"
        scripts = {script: text}
    manifest = _MANIFEST.format(name=_quote(name), outputs=outputs, runs=runs)
    return {"action.yml": manifest, **scripts, "README.md": _README.format(name=name), "test.yml": _TEST}


def _quote(name: str) -> str:
    """`name` as a YAML scalar, whatever folder names may hold."""
    escaped = name.replace("'", "''")
    return f"'{escaped}'"
