#!/usr/bin/env bash
# msgspec says "Input data was truncated" of a whole text with half a surrogate pair
#
# `"\ud800"` is JSON by its grammar (RFC 8259, 7 and 8.2), and what JavaScript's JSON.stringify wrote for years for a text that was cut in the
# middle of an emoji. Python's json reads it (and fails later, when it is encoded). msgspec refuses it, which is a good choice, with the
# sentence that it has for input that ends too early: whoever waits for the rest of a line waits for ever, and whoever reads the log
# looks for a broken connection. Followed by another character it says what is wrong.
#
# Version: msgspec 0.23.0, Python 3.11.
# Source of the rule: RFC 8259, 8.2.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q msgspec==0.23.0
cat > "$folder/try.py" <<'PYTHON'
import json

import msgspec


def said(text):
    try:
        return repr(msgspec.json.decode(text))
    except msgspec.DecodeError as error:
        return str(error)


whole = r'"\ud800"'
assert json.loads(whole) == "\ud800"
for text in (whole, r'{"a": "\ud83d", "b": 1}', r'["\ud83d", "and 20 more characters"]'):
    print(text, "->", said(text))
assert said(whole) == "Input data was truncated", f"changed: {said(whole)}"
print("as seen: a whole text is called truncated")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
