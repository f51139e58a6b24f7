#!/bin/sh
# Installs flow-agent on a Linux machine, or brings it up to date. Running it again is safe.
#
#   curl -fsSL https://flows.example.com/install.sh | sh -s -- --url https://flows.example.com --token TOKEN
#
# As root it makes a service for the whole machine (/opt/flow-agent, user flow-agent), else one for you
# (~/.local/share/flow-agent). The agent is the server's own wheel, checked against its digest, so that the two agree; what
# it needs is installed by the digests that the wheel names. Each run builds a new environment beside the old one and switches to it in one step at the
# end: when something fails, what was there before is untouched. Jobs that run keep the environment they started with.
#
# All of it is functions and the last line calls the first of them: a download that is cut off does nothing.
set -eu

PROGRAM=install.sh
DEFAULT_URL='' # a server that hands out this script writes its own address here
OLDEST_PYTHON='3.11'
NEWER_PYTHONS='python3.14 python3.13 python3.12 python3.11 python3 python'
AGENT_USER=flow-agent
# Whom jobs run as: AGENT_RUN_AS in the unit.
JOB_USER=flow-job

usage() {
    cat <<'END'
Usage: install.sh [--url URL --token TOKEN] [options]

  --url URL        the server to install from and to register with
  --token TOKEN    a registration token (`agent server token create`); better given as AGENT_REGISTRATION_TOKEN in
                   the environment, because arguments can be seen by every user of this machine
  --name NAME      the agent's name (default: the host's name)
  --labels A,B     labels beside those that the machine has by nature
  --system         for the whole machine, needs root (the default for root)
  --user           for this user only (the default for everybody else)
  --package WHEEL  what to install instead of the server's own wheel: a file or a URL
  --python PATH    the Python to use (default: the newest that is found; 3.11 or newer)
  --pip-args ARGS  further arguments for pip, such as --index-url URL (then the server's wheelhouse is not used)
  --no-service     do not set up a systemd service
  --help           show this

Example: AGENT_REGISTRATION_TOKEN=fa_reg_... sh install.sh --url https://flows.example.com --labels gpu-lab
END
}

main() {
    read_arguments "$@"
    choose_places
    check_places
    find_python
    check_source
    install_package
    if [ "$SCOPE" = system ]; then make_users; fi
    link_command
    register
    install_service
    remove_old_versions
    say "done: $("$COMMAND" --version)"
}

say() {
    printf '%s\n' "$*"
}

# fail WHAT HINT: the form of all our errors.
fail() {
    printf '%s: %s; %s\n' "$PROGRAM" "$1" "$2" >&2
    exit "${3:-1}"
}

read_arguments() {
    URL='' NAME='' LABELS='' SCOPE='' PACKAGE='' PYTHON='' PIP_ARGUMENTS='' WITH_SERVICE=yes
    TOKEN=${AGENT_REGISTRATION_TOKEN:-}
    unset AGENT_REGISTRATION_TOKEN # pip, and what it runs, has no business with it
    while [ $# -gt 0 ]; do
        case $1 in
            --url | --token | --name | --labels | --package | --python | --pip-args)
                [ $# -ge 2 ] || fail "$1 needs a value" "see --help" 2
                set_option "$1" "$2"
                shift
                ;;
            --system | --user) SCOPE=${1#--} ;;
            --no-service) WITH_SERVICE=no ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) fail "there is no option '$1'" "see --help" 2 ;;
        esac
        shift
    done
    if [ -z "$URL" ] && [ -n "$TOKEN" ]; then URL=$DEFAULT_URL; fi
    SERVER=${URL:-$DEFAULT_URL}
    SERVER=${SERVER%/}
    if [ -n "$URL" ] && [ -z "$TOKEN" ]; then fail "--url needs a token" "add --token, or set AGENT_REGISTRATION_TOKEN" 2; fi
    if [ -z "$URL" ] && [ -n "$TOKEN" ]; then fail "a token needs the server that gave it" "add --url" 2; fi
}

set_option() {
    case $1 in
        --url) URL=$2 ;;
        --token) TOKEN=$2 ;;
        --name) NAME=$2 ;;
        --labels) LABELS=$2 ;;
        --package) PACKAGE=$2 ;;
        --python) PYTHON=$2 ;;
        --pip-args) PIP_ARGUMENTS=$2 ;;
    esac
}

choose_places() {
    is_root=no
    if [ "$(id -u)" = 0 ]; then is_root=yes; fi
    if [ -z "$SCOPE" ]; then
        if [ $is_root = yes ]; then SCOPE=system; else SCOPE=user; fi
    fi
    if [ "$SCOPE" = system ]; then
        [ $is_root = yes ] || fail "--system needs root" "run it with sudo, or with --user" 2
        PREFIX=/opt/flow-agent
        COMMAND=/usr/local/bin/agent
        STATE=/var/lib/flow-agent
        UNIT=/etc/systemd/system/flow-agent.service
    else
        PREFIX=${XDG_DATA_HOME:-$HOME/.local/share}/flow-agent
        COMMAND=$HOME/.local/bin/agent
        UNIT=${XDG_CONFIG_HOME:-$HOME/.config}/systemd/user/flow-agent.service
    fi
    VENV=$PREFIX/venv
}

check_places() {
    if [ "$(uname -s)" != Linux ]; then fail "this installs on Linux only" "the agent runs nowhere else"; fi
    if [ -e "$COMMAND" ] && [ "$(readlink "$COMMAND" || true)" != "$VENV/bin/agent" ]; then
        fail "$COMMAND is some other program" "move it away, then run this again"
    fi
}

find_python() {
    found='' without_venv=''
    for candidate in ${PYTHON:-$NEWER_PYTHONS}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        found="$found${found:+, }$candidate is $version"
        "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || continue
        if "$candidate" -c 'import venv, ensurepip' 2>/dev/null; then
            PYTHON=$candidate
            return
        fi
        without_venv=$version
    done
    if [ -n "$without_venv" ]; then
        fail "Python $without_venv cannot make virtual environments" "$(advise_package "python$without_venv-venv" python3)"
    fi
    fail "Python $OLDEST_PYTHON or newer is needed (${found:-there is none here})" \
        "$(advise_package 'python3.12 python3.12-venv' python3.12), or name one with --python"
}

# advise_package DEBIAN_NAMES OTHER_NAMES
advise_package() {
    if command -v apt-get >/dev/null 2>&1; then
        say "run: apt-get install $1"
    elif command -v dnf >/dev/null 2>&1; then
        say "run: dnf install $2"
    elif command -v zypper >/dev/null 2>&1; then
        say "run: zypper install $2"
    elif command -v apk >/dev/null 2>&1; then
        say "run: apk add python3"
    else
        say "install $2 with your system's package manager"
    fi
}

# Nothing is ever asked of a package index by our name: what bears it there need not be ours.
check_source() {
    case $PACKAGE in
        '') [ -n "$SERVER" ] || fail "nothing says what to install" "give --url of your server, or --package WHEEL" 2 ;;
        *://*) ;;
        *) [ -f "$PACKAGE" ] || fail "--package $PACKAGE is neither a file nor a URL" "see --help" 2 ;;
    esac
}

install_package() {
    FRESH=$PREFIX/versions/$(date -u +%Y%m%dT%H%M%SZ)-$$
    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    say "installing ${PACKAGE:-the agent of $SERVER} into $PREFIX"
    if [ "$SCOPE" = system ]; then umask 022; fi # the user of jobs has to read it
    mkdir -p "$PREFIX/versions"
    "$PYTHON" -m venv "$FRESH" || fail "no virtual environment could be made in $FRESH" "see above"
    mkdir "$FRESH/from"
    if [ -z "$PACKAGE" ]; then fetch_wheel; fi
    pip_install --no-deps "$PACKAGE" || fail "pip could not install $PACKAGE" "see above; nothing was changed"
    install_needs
    rm -rf "$FRESH/from"
    "$FRESH/bin/agent" --version >/dev/null || fail "the installed agent does not start" "see above; nothing was changed"
    # A symbolic link can be replaced in one step, a folder can't; `mv` would move into the folder that the link names.
    "$FRESH/bin/python" -c 'import os, sys; os.symlink(*sys.argv[1:3]); os.replace(*sys.argv[2:4])' \
        "$FRESH" "$FRESH.link" "$VENV"
    trap - EXIT INT TERM HUP
}

pip_install() {
    # shellcheck disable=SC2086 # several arguments in one string: that is what --pip-args is
    "$FRESH/bin/python" -m pip --disable-pip-version-check install --quiet $PIP_ARGUMENTS "$@"
}

# The server's own wheel, whole and as the server says it is.
fetch_wheel() {
    fetch "$SERVER/install/agent.whl.sha256" "$FRESH/from/digest" ||
        fail "$SERVER hands out no agent" "see above; is it the server's address?"
    wheel=$(sed -n '1s/^[0-9a-f]\{64\}  \(gpu_flow_agent-[A-Za-z0-9_.+!-]*\.whl\)$/\1/p' "$FRESH/from/digest")
    [ -n "$wheel" ] || fail "what $SERVER says of its wheel is no digest" "is it the server's address?"
    PACKAGE=$FRESH/from/$wheel
    fetch "$SERVER/install/wheels/$wheel" "$PACKAGE" || fail "the wheel could not be fetched" "see above; run this again"
    (cd "$FRESH/from" && sha256sum -c digest >/dev/null) ||
        fail "$wheel is not what $SERVER says that it is" "nothing was changed; run this again"
}

# What the agent needs, each package by the digests that the wheel names.
install_needs() {
    list=$("$FRESH/bin/python" -I -c 'import agent, pathlib
print(pathlib.Path(agent.__file__).parent / "_bundled/install/requirements/agent.txt")')
    [ -f "$list" ] || fail "$PACKAGE does not say what it needs" "is it a wheel of this product?"
    set --
    if has_wheelhouse; then
        set -- --no-index --find-links "$SERVER/install/wheels/"
        # pip reads no page over plain HTTP unless told; what it takes from there is checked by digest all the same.
        case $SERVER in http://*)
            host=${SERVER#http://}
            set -- "$@" --trusted-host "${host%%/*}"
            ;;
        esac
        say "what it needs comes from the server's wheelhouse"
    fi
    pip_install "$@" --require-hashes --requirement "$list" ||
        fail "pip could not install what the agent needs" "see above; nothing was changed. Without a package \
index: fill the server's wheelhouse (\`agent server wheelhouse\`)"
}

# Whether the server has more wheels than its own, and --pip-args names no other place to take packages from.
has_wheelhouse() {
    case $PIP_ARGUMENTS in *index* | *find-links*) return 1 ;; esac
    [ -n "$SERVER" ] && fetch "$SERVER/install/wheels/" "$FRESH/from/wheels" 2>/dev/null &&
        grep -F '.whl' "$FRESH/from/wheels" | grep -q -v gpu_flow_agent-
}

# fetch URL FILE: with Python, which is here for certain. It heeds SSL_CERT_FILE and http_proxy.
fetch() {
    "$PYTHON" -I -c 'import http.client, shutil, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=60) as answer, open(sys.argv[2], "wb") as file:
        shutil.copyfileobj(answer, file)
except (OSError, ValueError, http.client.HTTPException) as error:
    sys.exit(f"install.sh: {sys.argv[1]}: {error}")' "$1" "$2"
}

undo() {
    status=$?
    rm -rf "$FRESH" "$FRESH.link"
    rmdir "$PREFIX/versions" "$PREFIX" 2>/dev/null || true # only when nothing else is in there
    exit "$status"
}

make_users() {
    make_user "$AGENT_USER" "$STATE"
    make_user "$JOB_USER" /nonexistent
    # docker: whoever may use the engine is as good as root on this machine. Jobs reach it through the agent, as far as its policy
    # lets them; put $JOB_USER into that group only if each job may be root here. video and render own the GPUs' device files.
    for group in docker video render; do
        grep -q "^$group:" /etc/group || continue
        join_group "$AGENT_USER" "$group"
        if [ "$group" != docker ]; then join_group "$JOB_USER" "$group"; fi
    done
    mkdir -p "$STATE"
    chown "$AGENT_USER:$AGENT_USER" "$STATE"
    chmod 0711 "$STATE" # $JOB_USER goes through it to the folders of its jobs
}

# make_user NAME HOME: unless there is one.
make_user() {
    if id "$1" >/dev/null 2>&1; then return; fi
    nologin=$(command -v nologin || say /usr/sbin/nologin)
    if command -v useradd >/dev/null 2>&1; then
        useradd --system --user-group --no-create-home --home-dir "$2" --shell "$nologin" "$1"
    else
        addgroup -S "$1"
        adduser -S -D -H -h "$2" -s "$nologin" -G "$1" "$1" # busybox
    fi
}

# join_group USER GROUP
join_group() {
    if command -v usermod >/dev/null 2>&1; then
        usermod -a -G "$2" "$1"
    else
        addgroup "$1" "$2"
    fi
}

link_command() {
    mkdir -p "${COMMAND%/*}"
    ln -sf "$VENV/bin/agent" "$COMMAND"
    case ":$PATH:" in
        *":${COMMAND%/*}:"*) ;;
        *) say "note: ${COMMAND%/*} is not on your PATH" ;;
    esac
}

# Once only: a token is used up by a registration, and running this again must not fail for that.
register() {
    REGISTERED=no
    if [ -f "$PREFIX/registered" ]; then
        REGISTERED=yes
        if [ "$URL" != '' ] && [ "$(cat "$PREFIX/registered")" != "$URL" ]; then
            fail "this machine is registered with $(cat "$PREFIX/registered")" \
                "run \`agent unregister\` and remove $PREFIX/registered, then run this again"
        fi
        return
    fi
    if [ -z "$URL" ]; then return; fi
    set -- register --url "$URL"
    if [ -n "$NAME" ]; then set -- "$@" --name "$NAME"; fi
    if [ -n "$LABELS" ]; then set -- "$@" --labels "$LABELS"; fi
    # In the environment, because arguments show in `ps`.
    (export AGENT_REGISTRATION_TOKEN="$TOKEN" && run_as_agent "$VENV/bin/agent" "$@") ||
        fail "the agent is installed but could not be registered" "see above; then run this again"
    say "$URL" >"$PREFIX/registered"
    REGISTERED=yes
}

run_as_agent() {
    if [ "$SCOPE" = user ]; then
        "$@"
        return
    fi
    # The settings of the service, not those of root's session.
    unset XDG_CONFIG_HOME XDG_DATA_HOME XDG_CACHE_HOME XDG_RUNTIME_DIR
    export HOME="$STATE" AGENT_STATE="$STATE/agent"
    cd "$STATE"
    if command -v runuser >/dev/null 2>&1; then
        runuser -u "$AGENT_USER" -- "$@"
    else
        # shellcheck disable=SC2016 # the inner shell is to expand these
        su -s /bin/sh "$AGENT_USER" -c 'exec "$0" "$@"' "$@"
    fi
}

install_service() {
    if [ $WITH_SERVICE = no ] || ! has_systemd; then
        if [ $REGISTERED = no ]; then
            say "register it with: $COMMAND register --url ${SERVER:-URL}; then start it with: $COMMAND start"
        else
            say "start it with: $COMMAND start"
        fi
        return
    fi
    bundled=$("$VENV/bin/python" -I -c 'import agent, pathlib; print(pathlib.Path(agent.__file__).parent / "_bundled/systemd")')
    mkdir -p "${UNIT%/*}"
    if [ "$SCOPE" = user ]; then
        sed "s|^ExecStart=.*|ExecStart=\"$VENV/bin/agent\" start|" "$bundled/user/flow-agent.service" >"$UNIT.new"
    else
        cp "$bundled/flow-agent.service" "$UNIT.new"
    fi
    mv -f "$UNIT.new" "$UNIT"
    control daemon-reload
    if [ $REGISTERED = no ]; then
        say "after \`agent register\`, start it with: $(control_words) enable --now flow-agent"
        return
    fi
    control enable --quiet flow-agent
    control restart flow-agent # running jobs go on: they are processes of their own
    if [ "$SCOPE" = user ]; then say "to keep it running when you log out: loginctl enable-linger"; fi
}

has_systemd() {
    [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1 || return 1
    [ "$SCOPE" = system ] || systemctl --user show-environment >/dev/null 2>&1
}

control_words() {
    if [ "$SCOPE" = user ]; then say 'systemctl --user'; else say systemctl; fi
}

control() {
    # shellcheck disable=SC2046 # two words are two arguments
    $(control_words) "$@"
}

# The environments of former runs, except those that a job still runs in.
remove_old_versions() {
    for version in "$PREFIX"/versions/*; do
        if [ "$version" = "$FRESH" ] || is_in_use "$version"; then continue; fi
        rm -rf "$version"
    done
}

# is_in_use FOLDER: whether a process was started from it or has a library of it loaded.
is_in_use() {
    for process in /proc/[0-9]*; do
        if grep -q -s -F "$1/" "$process/cmdline" "$process/maps" 2>/dev/null; then return 0; fi
    done
    return 1
}

main "$@"
