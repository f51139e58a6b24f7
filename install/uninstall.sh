#!/bin/sh
# Removes flow-agent from this machine. What jobs have left behind and the agent's identity stay, unless --purge is given.
#
# All of it is functions and the last line calls the first of them: a download that is cut off does nothing.
set -eu

PROGRAM=uninstall.sh
AGENT_USER=flow-agent
JOB_USER=flow-job

usage() {
    cat <<'END'
Usage: uninstall.sh [--system|--user] [--purge] [--force]

  --system  what was installed for the whole machine, needs root (the default for root)
  --user    what was installed for this user (the default for everybody else)
  --purge   remove the agent's identity, its jobs' folders and its users too
  --force   end jobs that are still running

Example: sudo sh uninstall.sh
END
}

main() {
    read_arguments "$@"
    choose_places
    stop_service
    end_jobs
    leave_server
    remove_files
    if [ $PURGE = yes ]; then purge; fi
    say "flow-agent is removed"
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
    SCOPE='' PURGE=no FORCE=no
    for argument in "$@"; do
        case $argument in
            --system | --user) SCOPE=${argument#--} ;;
            --purge) PURGE=yes ;;
            --force) FORCE=yes ;;
            --help | -h)
                usage
                exit 0
                ;;
            *) fail "there is no option '$argument'" "see --help" 2 ;;
        esac
    done
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

stop_service() {
    [ -f "$UNIT" ] || return 0
    if [ "$SCOPE" = user ]; then set -- systemctl --user; else set -- systemctl; fi
    "$@" disable --now flow-agent >/dev/null 2>&1 || true # no systemd any more, or never enabled
    rm -f "$UNIT"
    "$@" daemon-reload >/dev/null 2>&1 || true
}

# Jobs outlive the service, so that stopping it has not ended them.
end_jobs() {
    running=$(list_processes)
    if [ -z "$running" ]; then return; fi
    [ $FORCE = yes ] || fail "jobs are still running (processes:$running)" \
        "wait for them and run this again, or add --force to end them"
    # shellcheck disable=SC2086 # a list of numbers
    kill -TERM $running 2>/dev/null || true
}

# The processes that were started from our environments, or have a library of them loaded.
list_processes() {
    for process in /proc/[0-9]*; do
        if grep -q -s -F "$PREFIX/versions/" "$process/cmdline" "$process/maps" 2>/dev/null ||
            grep -q -s -F "$VENV/" "$process/cmdline" 2>/dev/null; then
            printf ' %s' "${process#/proc/}"
        fi
    done
}

leave_server() {
    if [ ! -f "$PREFIX/registered" ] || [ ! -x "$VENV/bin/agent" ]; then return 0; fi
    if run_as_agent "$VENV/bin/agent" unregister; then
        rm -f "$PREFIX/registered"
    else
        say "note: the server still lists this agent; remove it there"
    fi
}

run_as_agent() {
    if [ "$SCOPE" = user ]; then
        "$@"
        return
    fi
    # The settings of the service, not those of root's session.
    set -- env -u XDG_CONFIG_HOME -u XDG_DATA_HOME HOME="$STATE" AGENT_STATE="$STATE/agent" "$@"
    cd /
    if command -v runuser >/dev/null 2>&1; then
        runuser -u "$AGENT_USER" -- "$@"
    else
        # shellcheck disable=SC2016 # the inner shell is to expand these
        su -s /bin/sh "$AGENT_USER" -c 'exec "$0" "$@"' "$@"
    fi
}

remove_files() {
    if [ "$(readlink "$COMMAND" || true)" = "$VENV/bin/agent" ]; then rm -f "$COMMAND"; fi
    rm -rf "$PREFIX/versions" "$VENV" "$PREFIX/registered"
    rmdir "$PREFIX" 2>/dev/null || true # not empty: there is something in it that we did not put there
}

# A server on the same machine keeps its data beside the agent's: that is not ours to remove.
purge() {
    if [ "$SCOPE" = user ]; then
        rm -rf "$PREFIX/agent"
        rmdir "$PREFIX" 2>/dev/null || true
        return
    fi
    rm -rf "$STATE/agent"
    rmdir "$STATE" 2>/dev/null || say "note: $STATE is not empty and stays"
    for user in "$JOB_USER" "$AGENT_USER"; do
        id "$user" >/dev/null 2>&1 || continue
        if command -v userdel >/dev/null 2>&1; then userdel "$user"; else deluser "$user"; fi
    done
}

main "$@"
