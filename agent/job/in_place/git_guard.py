"""A `git` that stands in front of the real one for actions that run in somebody's own folder (`--in-place`).

What would throw away files, edits or branches of the work tree around the workspace, or another work tree of it, is not done: the action's processes
are ended at once, because an action that is merely told *no* goes on by other means (actions/checkout removes all files when
`git clean` fails). Everything else, and every other work tree, is the real git's.
"""

from pathlib import Path

_NOTES = "refused"


def set_up_guard(folder: Path, workspace_variable: str, *, with_git: bool) -> None:
    """Make `folder`, which is to stand in front of PATH. Doing it again does no harm.

    `workspace_variable` is where processes find the workspace's path.
    """
    folder.mkdir(mode=0o777, parents=True, exist_ok=True)
    folder.chmod(0o777)  # in a container somebody else writes the note
    program = folder / "git"
    if with_git and not program.exists():
        program.write_text(_PROGRAM.replace("@WORKSPACE@", workspace_variable), encoding="utf-8")
        program.chmod(0o755)


def take_refusals(folder: Path) -> list[str]:
    """The git commands that were refused since this was asked last, as `git clean`."""
    notes = folder / _NOTES
    try:
        lines = notes.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    notes.unlink()
    return lines


_PROGRAM = r"""#!/bin/sh
# The work tree of the one who started this run is not thrown away by an action.
here=${0%/*}
rest=
set -f
IFS=:
for entry in $PATH; do
  [ "$entry" = "$here" ] || rest=$rest${rest:+:}$entry
done
unset IFS
set +f
real=$(PATH=$rest command -v git) || { echo "git: not found" >&2; exit 127; }

before=0 skip= verb= first= forced= whole= staged= worktree= dry=
for word in "$@"; do
  if [ -z "$verb" ]; then
    if [ -n "$skip" ]; then
      skip=
    else
      case $word in
        -C | -c | --git-dir | --work-tree | --namespace | --config-env | --attr-source) skip=1 ;;
        -*) ;;
        *) verb=$word && continue ;;
      esac
    fi
    before=$((before + 1))
    continue
  fi
  case $word in
    --force | --discard-changes | --hard | --merge | --reset | --force-create) forced=1 ;;
    --dry-run) dry=1 ;;
    --staged) staged=1 ;;
    --worktree) worktree=1 ;;
    -- | . | :/) whole=1 ;;
    --* | -b*) ;;
    -*)
      case $word in -*[fDBCM]*) forced=1 ;; esac
      case $word in -*n*) dry=1 ;; esac
      case $word in -*S*) staged=1 ;; esac
      case $word in -*W*) worktree=1 ;; esac
      ;;
    *) [ -n "$first" ] || first=$word ;;
  esac
done

loses=
case $verb in
  clean) [ -n "$dry" ] || loses=1 ;;
  reset | branch | rm | read-tree | checkout-index | switch) loses=$forced ;;
  checkout) loses=$forced$whole ;;
  restore) [ -n "$staged" ] && [ -z "$worktree" ] || loses=1 ;;
  worktree) [ "$first" != remove ] || loses=$forced ;;
  stash) case $first in list | show | apply | pop | create | store | branch) ;; *) loses=1 ;; esac ;;
esac
[ -n "$loses" ] || exec "$real" "$@"

tree=$(
  seen=0 count=$#
  for word in "$@"; do
    [ "$seen" -ge "$before" ] || set -- "$@" "$word"
    seen=$((seen + 1))
  done
  shift "$count"
  "$real" "$@" rev-parse --show-toplevel 2>/dev/null
)
[ -n "$tree" ] || exec "$real" "$@"
case $@WORKSPACE@/ in
  "${tree%/}"/*) ;;
  *) exec "$real" "$@" ;;
esac
echo "git $verb" >> "$here/refused"
echo "agent: an action's 'git $verb' would throw away what is in $tree; the action is ended" >&2
kill -KILL 0
exit 128
"""
