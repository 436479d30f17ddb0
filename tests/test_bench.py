"""bin/bench measures, checks the work, and says what is missing; the times mean nothing here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.one_engine

BIN = Path(__file__).parent.parent / "bin"
TOOLS = ("sh", "sync", "rsync")


def bench(directory: Path, *arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    directory.mkdir()
    return subprocess.run(
        [sys.executable, "-B", "-P", "-m", "benchmarks", "--dir", str(directory), *arguments],
        env={"PYTHONPATH": str(BIN), "PATH": path, "HOME": str(directory), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory with the tools of the benchmark, and no program that is measured beside them."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name in TOOLS:
        (directory / name).symlink_to(shutil.which(name) or name)
    return directory


def test_hosts_that_work_at_the_same_time_do_all_their_work(tmp_path: Path) -> None:
    done = bench(tmp_path / "work", "--hosts", "2", "--files", "30", path=f"{os.environ['PATH']}:/usr/sbin")
    assert done.returncode == 0, done.stderr
    header, _, row, full, *_ = done.stdout.splitlines()
    assert header.split()[:2] == ["hosts", "files"]
    assert row.split()[:2] == ["2", str(2 * 3 * 30)]
    assert full.startswith("one core of the server would be full at ")
    assert list((tmp_path / "work").iterdir()) == []


def test_programs_that_are_missing_are_left_out(tmp_path: Path, programs: Path) -> None:
    done = bench(tmp_path / "work", "--only", "local-few", "--runs", "1", path=str(programs))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["row", "---------", "local-few"]
    left_out = "left out: local-few, git annex copy, to a directory: git-annex is not on PATH; install "
    assert lines[3].startswith(left_out)
    assert lines[4].startswith("left out: local-few, alpenhornd --once: alpenhornd is not on PATH; install ")


def test_a_program_that_copies_nothing_ends_the_benchmark(tmp_path: Path, programs: Path) -> None:
    for name in ("git", "git-annex"):
        (programs / name).symlink_to(shutil.which("true") or "true")
    done = bench(tmp_path / "work", "--only", "local-few", "--runs", "1", path=str(programs))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == "bin/bench: the copies of git-annex are missing or differ"
