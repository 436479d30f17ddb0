"""`alpenhorn db`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from alpenhorn.index.connection import Index
from tests.index.daemon import make_daemon_index


def db(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alpenhorn", "db", *arguments],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "PYTHONUTF8": "1",
            "ALPENHORN_DATABASE_URL": url,
        },
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_init_then_check(index_url: str) -> None:
    made = db(index_url, "init")
    assert (made.returncode, made.stderr) == (0, "")
    assert "added table storagenode\n" in made.stdout
    again = db(index_url, "init")
    assert again.returncode == 0
    assert again.stdout.startswith("nothing to add: the index ")
    checked = db(index_url, "check")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert [line.split()[0] for line in checked.stdout.splitlines()] == ["pass"] * 5


def test_init_of_a_daemon_index_names_only_what_is_ours(index_url: str) -> None:
    index = Index.open(index_url, create=True)
    make_daemon_index(index)
    index.close()
    made = db(index_url, "init")
    assert made.returncode == 0
    assert {line.split()[1] for line in made.stdout.splitlines()} == {"table", "index", "version"}
    assert all("sync" in line for line in made.stdout.splitlines())


def test_init_of_one_component(index_url: str) -> None:
    refused = db(index_url, "init", "--only", "sync")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: the component sync rests on the component alpenhorn")
    assert db(index_url, "init", "-o", "alpenhorn").returncode == 0
    assert db(index_url, "check").returncode == 3
    assert db(index_url, "init", "-o", "sync").returncode == 0
    assert db(index_url, "check").returncode == 0
    assert db(index_url, "init", "-o", "nothing").returncode == 2


def test_check_as_json_tells_a_fault_and_exits_1(index_url: str) -> None:
    db(index_url, "init")
    index = Index.open(index_url)
    index.execute("DROP INDEX archiveacq_name" + ("" if index.sqlite else " ON archiveacq"))
    index.close()
    checked = db(index_url, "check", "--json")
    assert checked.returncode == 1
    (fault,) = [finding for finding in json.loads(checked.stdout) if finding["level"] != "pass"]
    assert fault == {
        "level": "fail",
        "text": "the table archiveacq has no unique index on name",
        "remedy": "CREATE UNIQUE INDEX archiveacq_name ON archiveacq (name)",
    }


def test_check_of_no_index(tmp_path: Path) -> None:
    checked = db(f"sqlite:///{tmp_path}/no.db", "check")
    assert (checked.returncode, checked.stdout) == (3, "")
    assert checked.stderr == (
        f"Error: the index {tmp_path}/no.db cannot be opened: there is no such file; "
        "run `alpenhorn db init` to create the index\n"
    )
    assert not (tmp_path / "no.db").exists()


@pytest.mark.parametrize("command", ["init", "check"])
def test_every_command_has_an_example(command: str) -> None:
    shown = db("", command, "--help")
    assert shown.returncode == 0
    assert f"alpenhorn db {command}" in shown.stdout.partition("Example")[2]
