#!/usr/bin/env bash
# PyYAML writes the text 0o14 without quotes, and who reads YAML 1.2 (GitHub's workflows, ruamel.yaml, js-yaml) gets the number 12
#
# PyYAML decides by YAML 1.1 whether a text needs quotes. `0o14` is plain text there and an octal number in YAML 1.2's core schema, so
# a value that was text when it was written (a file mode, a version, an identifier) is a number where it is read. PyYAML itself reads it back as text:
# a round trip in one's own tests shows nothing.
#
# Version: PyYAML 6.0.3, ruamel.yaml 0.18.15, Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q PyYAML==6.0.3 ruamel.yaml==0.18.15
"$folder/venv/bin/python" - <<'PYTHON'
import yaml
from ruamel.yaml import YAML

written = yaml.safe_dump({"mode": "0o14"})
assert written == "mode: 0o14\n", f"changed: it is written {written!r}"
assert yaml.safe_load(written) == {"mode": "0o14"}, "changed: PyYAML reads it otherwise"
found = YAML(typ="safe").load(written)
assert found == {"mode": 12}, f"changed: ruamel.yaml reads {found}"
print(f"as seen: written {written.strip()!r}, read as {found['mode']!r} by YAML 1.2")
PYTHON
