"""Openings: with them the scripts of a workflow begin, whose shell is to be one that somebody types into.

Such a shell has `conda` where the machine has it; and `python` and `pip` are of an environment of the job alone: what a
workflow installs is gone with it, and the machine's own Python stays as it was.
"""

from typing import Final

# Names under which workflows of 2022 find where they run and what they opened.
OLD_NAMES: Final = """\
JOB_HOSTNAME=${JOB_HOSTNAME:-$(hostname 2>/dev/null || uname -n)}
MASTER_JOB_HOSTNAME=${MASTER_ADDR:-$JOB_HOSTNAME} MASTER_JOB_PORT_0=${MASTER_PORT:-}
export JOB_HOSTNAME MASTER_JOB_HOSTNAME MASTER_JOB_PORT_0
_port=0
while eval "[ -n \\"\\${PORT_$_port:-}\\" ]"; do eval "export JOB_PORT_$_port=\\$PORT_$_port"; _port=$((_port + 1)); done
unset _port
"""

# `python`, `pip` and their like are four small programs until one of them is used; then there is an environment. Version
# asked for: the machine's python of that version, else uv or conda brings it, else the machine's own, and that is said.
# `make.py` does what `python -m venv` does, but for running pip to install pip, which takes longer than all else together.
_PYTHON: Final = """\
_make_python() {
  VIRTUAL_ENV=$FLOW_TEMP/python
  export VIRTUAL_ENV
  if [ ! -d "$VIRTUAL_ENV" ]; then
    mkdir -p "$FLOW_TEMP/programs"
    cat > "$FLOW_TEMP/programs/python" <<'SHIM'
#!/bin/bash
name=${0##*/}
made=$VIRTUAL_ENV/.made
exec 9> "$VIRTUAL_ENV.lock"
flock 9 2>/dev/null
if [ ! -e "$made" ]; then
  PATH=$FLOW_PATH
  asked=${FLOW_PYTHON:-}
  say() { echo "$*" >&2; }
  find() {
    type -aP "$1" | while IFS= read -r each; do "$each" -c "" 2> /dev/null && echo "$each" && break; done | grep .
  }
  make() { "$1" "${0%/*}/make.py" "$VIRTUAL_ENV" || "$1" -m venv --clear "$VIRTUAL_ENV"; }
  {
    if [ -n "$asked" ] && base=$(find "python$asked"); then make "$base"
    elif [ -n "$asked" ] && type -P uv > /dev/null && uv venv --quiet --seed --python "$asked" "$VIRTUAL_ENV"; then :
    elif [ -n "$asked" ] && conda=$(type -P conda || echo "${CONDA_EXE:-}") && [ -n "$conda" ] &&
      "$conda" create --quiet --yes --prefix "$VIRTUAL_ENV" "python=$asked" pip > /dev/null; then :
    else
      base=$(find python3 || find python) || { say "there is no python on this machine"; exit 127; }
      has=$("$base" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
      [ -z "$asked" ] || [ "$asked" = "$has" ] || [ "$asked" = "${has%%.*}" ] ||
        say "python $asked is not on this machine, and neither uv nor conda can bring it: python $has is used"
      make "$base"
    fi
  } >&2 || { say "no environment for python could be made (on Debian, python3-venv is needed)"; exit 127; }
  [ -e "$VIRTUAL_ENV/bin/$name" ] || ln -s python "$VIRTUAL_ENV/bin/$name"
  : > "$made"
fi
exec 9>&-
exec "$VIRTUAL_ENV/bin/$name" "$@"
SHIM
    cat > "$FLOW_TEMP/programs/make.py" <<'MAKE'
import ensurepip, glob, os, sys, sysconfig, venv, zipfile
target = sys.argv[1]
places = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), sysconfig.get_config_var("WHEEL_PKG_DIR") or ""]
names = ["pip"] + ["setuptools"] * (sys.version_info < (3, 12))
wheels = [sorted(found) for name in names for place in places for found in [glob.glob(os.path.join(place, name + "-*.whl"))] if found]
if len(wheels) < len(names):
    sys.exit(1)
venv.create(target, symlinks=True)
packages = os.path.join(target, "lib", "python%d.%d" % sys.version_info[:2], "site-packages")
for found in wheels:
    with zipfile.ZipFile(found[-1]) as wheel:
        wheel.extractall(packages)
for name in ["pip", "pip3"]:
    program = os.path.join(target, "bin", name)
    with open(program, "w") as script:
        script.write('#!/bin/sh\\nexec "${0%/*}/python" -m pip "$@"\\n')
    os.chmod(program, 0o755)
MAKE
    chmod +x "$FLOW_TEMP/programs/python"
    for _name in python3 pip pip3; do ln -sf python "$FLOW_TEMP/programs/$_name"; done
    mkdir -p "$VIRTUAL_ENV"
  fi
  FLOW_PATH=${FLOW_PATH:-$PATH}
  PATH=$VIRTUAL_ENV/bin:$FLOW_TEMP/programs:$FLOW_PATH
  export FLOW_PATH PATH
  PIP_DISABLE_PIP_VERSION_CHECK=1 && export PIP_DISABLE_PIP_VERSION_CHECK
  if [ -n "${FLOW_PYTHON:-}" ]; then python --version > /dev/null || exit; fi
}
_make_python
unset -f _make_python
unset _name
"""

_CONDA: Final = """\
shopt -s expand_aliases
for _conda in "${CONDA_EXE:-}" "$(type -P conda)" ~/miniconda3/bin/conda ~/anaconda3/bin/conda ~/miniforge3/bin/conda \\
  /opt/conda/bin/conda /opt/miniconda3/bin/conda; do
  if [ -n "$_conda" ] && [ -x "$_conda" ]; then eval "$("$_conda" shell.bash hook)"; break; fi
done
if ! type conda > /dev/null 2>&1 && tail -n +"$LINENO" "$0" | grep -qE '(^|[^a-z_-])conda +(activate|create|install|env|run|update)'; then
  echo "conda is not on this machine: commands that need it will fail" >&2
fi
unset _conda
"""

# What the commands left running ends with them: whoever holds their output would keep the step waiting for more of it.
_END: Final = "trap 'kill $(jobs -p) 2> /dev/null' EXIT\n"

BASH: Final = OLD_NAMES + _CONDA + _PYTHON + _END
