#!/usr/bin/env bash
# msgspec writes NaN and infinity as null, and can't read its own output into the same Struct
#
# A loss that became NaN is a usual figure of a training run. `msgspec.json.encode` makes it `null` without a word (the standard
# json module writes NaN, or raises with allow_nan=False); decoding that into the Struct that it came from is a ValidationError. A
# field of figures must be `float | None`, or NaN be refused before.
#
# Version: msgspec 0.23.0, Python 3.11.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q msgspec==0.23.0
"$folder/venv/bin/python" - <<'PYTHON'
import msgspec


class Metric(msgspec.Struct):
    name: str
    value: float


text = msgspec.json.encode(Metric("loss", float("nan")))
assert text == b'{"name":"loss","value":null}', f"changed: {text}"
try:
    msgspec.json.decode(text, type=Metric)
except msgspec.ValidationError as error:
    print(f"as seen: {text.decode()} -> {error}")
else:
    raise SystemExit("changed: it is read")
PYTHON
