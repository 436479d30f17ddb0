# Functions shared by the scripts in bin/: find Python, install packages, prepare the virtual environment of the checkout.
# Source this file with `checkout` set to the top of the checkout.

venv=$checkout/.venv

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage: print the comment at the top of the script.
usage() {
    sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"
}

is_debian() {
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13 python3.14; do
        if command -v "$candidate" >/dev/null &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or later on PATH; set PYTHON=/path/to/python3"
}

# python_package SUFFIX: print the Debian package python3.X-SUFFIX, or nothing if $python is not Debian's.
python_package() {
    "$python" - "$1" <<'END'
import os, sys
if os.path.realpath(sys.base_prefix) == "/usr":
    print(f"python3.{sys.version_info.minor}-{sys.argv[1]}")
END
}

# install_packages PACKAGE...: install Debian packages as root; otherwise print their names and exit.
#
# Server packages would start their services.  While packages are installed, policy-rc.d prevents this with status
# 101, "action not allowed" (see invoke-rc.d(8)).
install_packages() {
    [ $# -gt 0 ] || return 0
    is_debian || fail "not on Debian; install the equivalents of these Debian packages: $*"
    [ "$(id -u)" = 0 ] || fail "missing packages; as root, run: apt-get install $*"
    echo "installing: $*"
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e $policy ]; then
        policy=
    else
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    { apt-get -qq update &&
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" \
            </dev/null >/dev/null; } || status=$?
    if [ -n "$policy" ]; then
        rm -f $policy
        trap - EXIT
    fi
    [ $status = 0 ] || fail "apt-get could not install: $*"
}

# need_venv MODULE REQUIREMENT...: create the environment if necessary, and install REQUIREMENT unless MODULE can be imported.
need_venv() {
    local module=$1
    shift
    if [ ! -d "$venv" ]; then
        local package
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            package=$(python_package venv)
            [ -n "$package" ] || fail "$python: no ensurepip, which virtual environments need; use another Python"
            install_packages "$package"
        fi
        announce_venv
        "$python" -m venv "$venv" || fail "$venv: could not create the virtual environment"
    fi
    # Not removed automatically: an environment that fails for this user may work for another.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        fail "$venv: the virtual environment does not work for this user; remove it and try again"
    if ! "$venv/bin/python" -c "import $module" 2>/dev/null; then
        announce_venv
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
            fail "pip could not install $*"
    fi
}

# announce_venv: print, once, that the environment is being prepared, since pip then prints nothing for up to a minute.
announced=
announce_venv() {
    [ -z "$announced" ] || return 0
    announced=yes
    printf '%s: installing into %s; this may take a minute\n' "${0##*/}" "$venv" >&2
}

# need_extra EXTRA MODULES: set `python` to one that can import the modules ("a, b") of this extra in setup.cfg: the
# Python of the active environment, or else of the checkout's environment, where the extra is installed if necessary.
need_extra() {
    python=$(find_python)
    if ! "$python" -c "import $2" 2>/dev/null; then
        need_venv "$2" --editable "$checkout[$1]"
        python=$venv/bin/python
    fi
}

# report_coverage HOW: combine the data of the measured processes, and print how much of the program was executed, and HOW.
report_coverage() {
    local coverage=(.tox/check/bin/python -m coverage)
    # A process that records all files of the package, without which those that no process imported would be left out.
    "${coverage[@]}" run --rcfile=/dev/null --parallel-mode --source=alpenhorn -m alpenhorn.errors || return
    "${coverage[@]}" combine --quiet || return
    "${coverage[@]}" report --precision=1 | awk -v how="$1" '
        $1 == "TOTAL" { printf "coverage: %s of %d lines executed %s\n", $4, $2, how }'
}
