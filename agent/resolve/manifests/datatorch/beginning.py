"""New actions of this language that work, to be changed into what they shall be."""

from collections.abc import Mapping
from typing import Final

_MANIFEST: Final = """\
name: {name}
description: Add two numbers.
inputs:
  a: {{type: float, description: One number., required: true}}
  b: {{type: float, description: The other., default: 1}}
outputs:
  sum: {{type: number, description: Their sum.}}
runs:
{runs}"""
_PYTHON: Final = """\
import datatorch

inputs = datatorch.get_inputs()
datatorch.set_output("sum", inputs["a"] + inputs["b"])
"""
_NODE: Final = """\
const sum = Number(process.env.INPUT_A) + Number(process.env.INPUT_B);
console.log("::sum::" + JSON.stringify(sum));
"""
_SCRIPT: Final = """\
#!/bin/sh
# Inputs are in the environment; a line ::NAME::JSON is an output.
echo "::sum::$(awk "BEGIN {print $INPUT_A + $INPUT_B}")"
"""
_COMMAND: Final = 'echo "::sum::$(awk "BEGIN {print $INPUT_A + $INPUT_B}")"'
_README: Final = """\
# {name}

```yaml
- name: add
  action: OWNER/{name}@v1
  inputs: {{a: 10, b: 20}}
- action: OWNER/other@v1
  inputs: {{value: "${{{{ steps.add.output.sum }}}}"}}
```

Test it, in this folder: `agent flow run test.yml`
"""
_TEST: Final = """\
# Uses the action of this folder: agent flow run test.yml
name: test {name}
jobs:
  test:
    steps:
      - {{name: add, action: ./, inputs: {{a: 10, b: 20}}}}
      - {{name: again, action: ./, inputs: {{a: "${{{{ steps.add.output.sum }}}}"}}}}
"""
_RUNS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "python": ("  using: python\n  main: main.py\n", {"main.py": _PYTHON}),
    "node": ("  using: node\n  main: main.js\n", {"main.js": _NODE}),
    "script": ("  using: script\n  main: main.sh\n", {"main.sh": _SCRIPT}),
    "cmd": (f"  using: cmd\n  command: '{_COMMAND}'\n", {}),
    "human": ("  using: human\n", {}),
}


def make_files(name: str, using: str) -> dict[str, str]:
    """The files of a new action by their names."""
    runs, scripts = _RUNS[using]
    quoted = name.replace("'", "''")
    return {
        "action-datatorch.yaml": _MANIFEST.format(name=f"'{quoted}'", runs=runs),
        **scripts,
        "README.md": _README.format(name=name),
        "test.yml": _TEST.format(name=quoted.replace("'", "")),
    }
