# Shared by bin/demo and bin/test: finding Python, and the virtual environment of the checkout.
# Sourced with `checkout` set to the top of the checkout.

venv=$checkout/.venv

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage: the comment at the top of the script.
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
    fail "Python 3.11 or later is needed; PYTHON=/path/to/python3 names one that is not on PATH"
}

# python_package SUFFIX: the Debian package python3.X-SUFFIX, or nothing when the Python is not Debian's.
python_package() {
    "$python" - "$1" <<'END'
import os, sys
if os.path.realpath(sys.base_prefix) == "/usr":
    print(f"python3.{sys.version_info.minor}-{sys.argv[1]}")
END
}

# install_packages PACKAGE...: as root, from Debian; otherwise names them and stops.
#
# The packages of the servers would start them, and a server of the machine's own has no part in what
# follows: while they are installed, policy-rc.d (see invoke-rc.d(8)) answers 101, "action not allowed".
install_packages() {
    [ $# -gt 0 ] || return 0
    is_debian || fail "this is not Debian; please install what these packages of Debian hold: $*"
    [ "$(id -u)" = 0 ] || fail "missing, and only root may install it: apt-get install $*"
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
    [ $status = 0 ] || fail "apt-get could not install them"
}

# need_venv MODULE REQUIREMENT...: the environment, with REQUIREMENT installed unless MODULE can be imported.
need_venv() {
    local module=$1
    shift
    if [ ! -d "$venv" ]; then
        local package
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            package=$(python_package venv)
            [ -n "$package" ] || fail "$python has no ensurepip, so it cannot make a virtual environment"
            install_packages "$package"
        fi
        "$python" -m venv "$venv" || fail "could not make the virtual environment $venv"
    fi
    # Not removed here: what looks broken to this user may be what another one works with.
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 ||
        fail "the virtual environment $venv does not work for this user; remove it and try again"
    if ! "$venv/bin/python" -c "import $module" 2>/dev/null; then
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
            fail "pip could not install $*"
    fi
}

# need_extra EXTRA MODULES: sets `python` to one that can import the modules ("a, b") of this extra of setup.cfg: that of
# the active environment, or else that of the checkout, where the extra is installed if necessary.
need_extra() {
    python=$(find_python)
    if ! "$python" -c "import $2" 2>/dev/null; then
        need_venv "$2" --editable "$checkout[$1]"
        python=$venv/bin/python
    fi
}
