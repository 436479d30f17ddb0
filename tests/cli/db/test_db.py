"""`alpenhorn db`, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.versions import VERSIONS
from tests.index.daemon import make_daemon_index
from tests.index.earlier import as_wide_as, contents, make_earlier_index, widths
from tests.index.older import RELEASES, make_older_index, rows


def db(url: str, *arguments: str, group: tuple[str, ...] = ("db",)) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "alpenhorn", *group, *arguments],
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
    made = db(index_url, "init", group=("-v", "db"))
    assert (made.returncode, made.stderr) == (0, "")
    *listed, summary = made.stdout.splitlines()
    assert "added table storagenode" in listed
    kinds = Counter(line.split()[1] for line in listed)
    assert kinds.keys() == {"table", "index", "version"}
    assert summary.startswith(
        f"Added {kinds['table']} tables, {kinds['index']} indexes and {kinds['version']} component versions to"
    )
    again = db(index_url, "init")
    assert again.returncode == 0
    assert again.stdout.startswith("No change: the index ")
    checked = db(index_url, "check")
    assert (checked.returncode, checked.stderr) == (0, "")
    settings = 0 if index_url.startswith("sqlite") else 1  # of the server, which matter for deletions
    assert [line.split()[0] for line in checked.stdout.splitlines()] == ["pass"] * (5 + settings)


def test_init_of_a_daemon_index_names_only_what_is_ours(index_url: str) -> None:
    index = Index.open(index_url, create=True)
    make_daemon_index(index)
    index.close()
    made = db(index_url, "init", group=("-v", "db"))
    assert made.returncode == 0
    *listed, summary = made.stdout.splitlines()
    assert {line.split()[1] for line in listed} == {"table", "index", "version"}
    assert all("sync" in line for line in listed) and summary.startswith("Added ")


def test_init_of_one_component(index_url: str) -> None:
    refused = db(index_url, "init", "--only", "sync")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: component sync: needs the component alpenhorn")
    assert db(index_url, "init", "-o", "alpenhorn").returncode == 0
    assert db(index_url, "check").returncode == 3
    assert db(index_url, "init", "-o", "sync").returncode == 0
    assert db(index_url, "check").returncode == 0
    assert db(index_url, "init", "-o", "nothing").returncode == 2


def test_check_as_json_tells_a_fault_and_exits_1(index_url: str) -> None:
    db(index_url, "init")
    index = Index.open(index_url)
    index.execute("DROP INDEX archiveacq_name" + ("" if index.dialect.in_a_file else " ON archiveacq"))
    index.close()
    checked = db(index_url, "check", "--json")
    assert checked.returncode == 1
    (fault,) = [finding for finding in json.loads(checked.stdout) if finding["level"] != "pass"]
    assert fault == {
        "level": "fail",
        "text": "table archiveacq has no unique index on name",
        "remedy": "CREATE UNIQUE INDEX archiveacq_name ON archiveacq (name)",
        "code": "index-missing",
    }


def test_check_of_no_index(tmp_path: Path) -> None:
    checked = db(f"sqlite:///{tmp_path}/no.db", "check")
    assert (checked.returncode, checked.stdout) == (3, "")
    assert checked.stderr == (
        f"Error: index {tmp_path}/no.db: cannot be opened: no such file; "
        "run `alpenhorn db init` to create the index\n"
    )
    assert not (tmp_path / "no.db").exists()


OTHERS = (
    ("db", "init"),
    ("db", "check"),
    ("sync",),
    ("plan",),
    ("status",),
    ("host", "list"),
    ("node", "create", "new", "--create-group"),
)


def alpenhorn(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return db(url, *arguments, group=())


@pytest.fixture(params=RELEASES)
def older(index_url: str, request: pytest.FixtureRequest) -> str:
    """The URL of an index of an older release."""
    index = Index.open(index_url, create=True)
    make_older_index(index, request.param)
    index.close()
    return index_url


def state(url: str) -> dict[str, Any]:
    """All tables and rows."""
    index = Index.open(url)
    found = {name: rows(index, f"SELECT * FROM {name}") for name in index.db.get_tables()}
    index.close()
    return found


@pytest.mark.parametrize("arguments", OTHERS)
def test_every_other_command_refuses_an_older_index(older: str, arguments: tuple[str, ...]) -> None:
    before = state(older)
    refused = alpenhorn(older, *arguments)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert ": tables of alpenhorn 2.0.0rc" in refused.stderr
    assert "host, username, address, storage_type" in refused.stderr
    assert "run `alpenhorn db upgrade`" in refused.stderr
    assert state(older) == before


def test_upgrade_says_what_it_will_do_and_asks(older: str, tmp_path: Path) -> None:
    before = state(older)
    shown = db(older, "upgrade", "--check", "--dump", str(tmp_path / "dump"))
    assert (shown.returncode, shown.stderr) == (0, "")
    found, first, *steps = shown.stdout.splitlines()
    assert "is that of alpenhorn 2.0.0rc" in found
    assert first == f"  1. write a dump to {tmp_path / 'dump'}"
    assert any(line.endswith("add the column host_id to the table storagenode") for line in steps)
    assert "note: host alp1: address set to alp1.example.org; 10.0.0.7 of node disk1 is dropped" in steps
    assert any("storage type T (transport) is dropped, it had no effect on nodes" in line for line in steps)
    refused = db(older, "upgrade", "--dump", str(tmp_path / "dump"))
    assert refused.returncode == 1 and refused.stdout == shown.stdout
    assert "without a terminal; nothing was changed; use --force" in refused.stderr
    assert state(older) == before
    assert not (tmp_path / "dump").exists()


def test_every_command_works_after_an_upgrade(older: str, tmp_path: Path) -> None:
    upgraded = db(older, "upgrade", "--force", "--dump", str(tmp_path / "dump"))
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    planned = [line[5:] for line in upgraded.stdout.splitlines() if line[:5].strip(" .0123456789") == ""]
    done = [line.removeprefix("done: ") for line in upgraded.stdout.splitlines() if line.startswith("done: ")]
    assert planned == done and len(done) > 10
    *_, following, back = upgraded.stdout.splitlines()
    assert following.startswith("upgraded: the index ") and following.endswith("alpenhorn db check")
    assert str(tmp_path / "dump") in back
    assert db(older, "check").returncode == 0
    again = db(older, "upgrade")
    assert again.returncode == 0 and again.stdout.startswith("nothing to upgrade: the index ")
    for arguments in OTHERS[2:]:
        assert alpenhorn(older, *arguments).returncode in (0, 1), arguments
    hosts = json.loads(alpenhorn(older, "host", "list", "--json").stdout)
    assert {host["name"] for host in hosts} == {"alp1", "alp2"}


def test_upgrade_writes_its_dump_beside_the_index_by_default(sqlite_index_url: str) -> None:
    index = Index.open(sqlite_index_url, create=True)
    make_older_index(index)
    index.close()
    path = Path(sqlite_index_url.removeprefix("sqlite:///"))
    assert db(sqlite_index_url, "upgrade", "--force").returncode == 0
    (dump,) = [found for found in path.parent.iterdir() if found.name.startswith("index.db.2")]
    assert state(f"sqlite:///{dump}")["storagenode"][0][3] == "alp1"


def test_upgrade_refuses_what_it_cannot_do(older: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    taken = db(older, "upgrade", "--force", "--dump", str(tmp_path / "mine"))
    assert taken.returncode == 1 and "will not overwrite it" in taken.stderr
    index = Index.open(older)
    index.execute("CREATE VIEW theirs AS SELECT host FROM storagenode")
    index.close()
    before = state(older)
    for arguments in (("--check",), ("--force",)):
        refused = db(older, "upgrade", "--dump", str(tmp_path / "dump"), *arguments)
        assert refused.returncode == 1
        assert (
            "Error: view theirs: may use columns of storagenode that will be dropped; drop it"
            in refused.stderr
        )
    assert state(older) == before
    assert os.listdir(tmp_path) and not (tmp_path / "dump").exists()


def test_upgrade_of_an_unknown_release_or_a_newer_version_is_refused(index_url: str) -> None:
    assert db(index_url, "init").returncode == 0
    index = Index.open(index_url)
    index.execute("ALTER TABLE storagegroup DROP COLUMN notes")
    index.close()
    unknown = db(index_url, "upgrade", "--force")
    assert unknown.returncode == 3
    assert "tables of an unknown release (has no column storagegroup.notes)" in unknown.stderr
    index = Index.open(index_url)
    index.execute("UPDATE dataindexversion SET version = 9999 WHERE component = 'sync'")
    index.close()
    newer = db(index_url, "upgrade", "--force")
    assert newer.returncode == 3 and "install a newer alpenhorn" in newer.stderr


@pytest.fixture
def earlier(index_url: str) -> str:
    """The URL of an index that an earlier version of this program made."""
    index = Index.open(index_url, create=True)
    make_earlier_index(index)
    index.close()
    return index_url


@pytest.mark.parametrize("arguments", [*OTHERS, ("db", "init", "--only", "sync")])
def test_every_other_command_refuses_an_earlier_version(earlier: str, arguments: tuple[str, ...]) -> None:
    before = state(earlier)
    refused = alpenhorn(earlier, *arguments)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("Error: index ")
    assert refused.stderr.endswith(
        f" has version 1 of the component sync, this program needs version {VERSIONS['sync']}; "
        "run `alpenhorn db upgrade`; nothing was changed\n"
    )
    assert refused.stderr.count("\n") == 1
    assert state(earlier) == before


@pytest.mark.parametrize("arguments", [*OTHERS, ("db", "upgrade", "--force")])
def test_every_command_refuses_a_newer_version(index_url: str, arguments: tuple[str, ...]) -> None:
    assert db(index_url, "init").returncode == 0
    index = Index.open(index_url)
    index.execute("UPDATE dataindexversion SET version = version + 1 WHERE component = 'sync'")
    index.close()
    before = state(index_url)
    refused = alpenhorn(index_url, *arguments)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.endswith(
        f" has version {VERSIONS['sync'] + 1} of the component sync, this program needs version "
        f"{VERSIONS['sync']}; install a newer alpenhorn\n"
    )
    assert refused.stderr.count("\n") == 1
    assert state(index_url) == before


def test_upgrade_of_an_earlier_version(earlier: str, tmp_path: Path) -> None:
    before = state(earlier)
    index = Index.open(earlier)
    rows_before, width = contents(index), widths(index)
    index.close()
    shown = db(earlier, "upgrade", "--check", "--dump", str(tmp_path / "dump"))
    assert (shown.returncode, shown.stderr) == (0, "")
    found, *steps = shown.stdout.splitlines()
    assert found.startswith("found: the index ")
    assert found.endswith(
        f" has version 1 of the component sync, this program needs version {VERSIONS['sync']}"
    )
    assert [step.partition(". ")[0].strip() for step in steps] == [str(n) for n in range(1, len(steps) + 1)]
    assert steps[0] == f"  1. write a dump to {tmp_path / 'dump'}"
    assert steps[-1].endswith(f". record version {VERSIONS['sync']} of the component sync")
    asked = db(earlier, "upgrade", "--dump", str(tmp_path / "dump"))
    assert asked.returncode == 1 and "nothing was changed; use --force" in asked.stderr
    assert state(earlier) == before and not (tmp_path / "dump").exists()

    upgraded = db(earlier, "upgrade", "--force", "--dump", str(tmp_path / "dump"))
    assert (upgraded.returncode, upgraded.stderr) == (0, "")
    lines = upgraded.stdout.splitlines()
    assert [line for line in lines if line.startswith("done: ")] == [
        f"done: {step.partition('. ')[2]}" for step in steps
    ]
    assert lines[-2].startswith("upgraded: the index ") and lines[-2].endswith("alpenhorn db check")
    assert (
        lines[-1].startswith("to restore the old index, while nothing uses it: ")
        and str(tmp_path / "dump") in lines[-1]
    )
    checked = db(earlier, "check")
    assert checked.returncode == 0
    assert checked.stdout.splitlines()[0].endswith(f", sync {VERSIONS['sync']}")
    again = db(earlier, "upgrade")
    assert again.returncode == 0 and again.stdout.startswith("nothing to upgrade: the index ")
    assert db(earlier, "init").stdout.startswith("No change: the index ")
    index = Index.open(earlier)
    after = as_wide_as(contents(index), width)
    index.close()
    assert all(after[table] == found for table, found in rows_before.items() if table != "dataindexversion")


@pytest.mark.parametrize("command", ["init", "check", "upgrade"])
def test_every_command_has_an_example(command: str) -> None:
    shown = db("", command, "--help")
    assert shown.returncode == 0
    assert f"alpenhorn db {command}" in shown.stdout.partition("Example")[2]
