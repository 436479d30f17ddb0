"""Situation 10: runs inherit ignored signals, a removed directory or closed streams from their launcher."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.fixtures.archive import Archive, Result, stand_in

LAUNCHERS = {
    "SIGCHLD ignored": ("env", "--ignore-signal=CHLD"),
    "signals blocked": ("env", "--block-signal=CHLD,TERM,INT"),
    "directory deleted": ("sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh"),
    "stdin closed": ("sh", "-c", 'exec "$@" <&-', "sh"),
    "stdout closed": ("sh", "-c", 'exec "$@" >&-', "sh"),
    "stderr closed": ("sh", "-c", 'exec "$@" 2>&-', "sh"),
    "all closed": ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
}


@pytest.fixture
def disks(sqlite_archive: Archive) -> Archive:
    """A file to be pulled with rsync, one to be copied, and one to be checked."""
    archive = sqlite_archive
    archive.node("a")
    archive.node("rsynced", io_config='{"method": "rsync"}')
    archive.node("copied", archive=1)
    file = archive.file("acq/f", b"bytes", "a")
    archive.request(file, "a", "rsynced")
    archive.request(file, "a", "copied")
    archive.set_copy(archive.file("acq/g", b"bytes", "a"), "a", "MY")
    archive.configure()
    return archive


def launched(archive: Archive, launcher: str, *arguments: str) -> Result:
    conf = archive.base / "here.toml"
    done = subprocess.run(
        [*LAUNCHERS[launcher], sys.executable, "-m", "alpenhorn", "-c", str(conf), *arguments],
        cwd=archive.base,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(archive.base), "PATH": os.environ["PATH"], "PYTHONPATH": os.getcwd()},
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_situation_10_a_run_works_whatever_its_launcher_left(disks: Archive, launcher: str) -> None:
    result = launched(disks, launcher, "sync")
    assert result.status == 0 and result.silent, result
    assert disks.pending() == 0 and disks.tree("rsynced") == disks.tree("copied") == {"acq/f": b"bytes"}
    assert [row[0] for row in disks.all("SELECT has_file FROM archivefilecopy")] == ["Y"] * 4


def test_situation_10_a_failing_program_is_not_mistaken_for_a_successful_one(disks: Archive) -> None:
    """While SIGCHLD is ignored, the status of a program is lost, and Python reports 0."""
    failing = stand_in(disks.base / "bin", "failing", "cat > /dev/null; echo 'no rsync today' >&2; exit 12")
    disks.configure(transfer={"rsync": str(failing)})
    result = launched(disks, "SIGCHLD ignored", "sync")
    assert result.status == 1 and "no rsync today" in result.err, result
    assert disks.copy(1, "a") == "YY"


def test_situation_10_a_run_works_without_the_system_log_and_says_so_once(disks: Archive) -> None:
    if os.path.exists("/dev/log"):
        pytest.fail("a system log runs here; the test takes a machine without one")
    disks.configure(log={"syslog": True})
    result = disks.sync()
    assert result.status == 0 and disks.pending() == 0
    (line,) = result.err.splitlines()
    assert "cannot write to the system log /dev/log (set syslog = false in [log]): " in line
