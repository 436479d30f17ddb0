"""Commands run as `alpenhorn` runs them, in this process, against an index with a few rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from alpenhorn.cli.main import main
from alpenhorn.index.connection import Index
from alpenhorn.index.tables import ALPENHORN_TABLES, SYNC_TABLES
from tests.cli.filled import few_inodes, fill
from tests.fixtures.archive import Archive as RealArchive


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Archive:
    """The index under test and the commands on it.

    Hosts alp1 and alp2; node field1 (group field, on alp1, active, root /srv/field1); nodes off1 (on alp2,
    active) and off2 (inactive) in group offsite; group spare without nodes; acquisition pilot.
    """

    def __init__(self, index: Index, url: str, home: Path) -> None:
        self.index = index
        self.environ = {
            "ALPENHORN_DATABASE_URL": url,
            "XDG_CONFIG_HOME": str(home),
            "ALPENHORN_CONFIG_FILE": None,
        }

    def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        runner = CliRunner(env=self.environ)
        with runner.isolation(input=stdin) as (out, err, _):
            status = main(list(arguments))
            return Result(status, out.getvalue().decode(), err.getvalue().decode())

    def ok(self, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must succeed, and return what it printed."""
        result = self(*arguments, stdin=stdin)
        assert result.status == 0, result
        return result.out

    def fails(self, status: int, *arguments: str, stdin: str | None = None) -> str:
        """Run a command that must end with that status and change nothing; return its message."""
        before = self.rows()
        result = self(*arguments, stdin=stdin)
        assert result.status == status, result
        assert result.err and "Traceback" not in result.err
        assert self.rows() == before
        return result.err

    def rows(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that the index holds."""
        tables = [table._meta.table_name for table in (*ALPENHORN_TABLES, *SYNC_TABLES)]
        return {table: self.all(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}

    def all(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.index.execute(sql, values).fetchall()]

    def one(self, sql: str, *values: Any) -> Any:
        """The only column of the only row, or the only row."""
        (row,) = self.all(sql, *values)
        return row[0] if len(row) == 1 else row

    def insert(self, table: str, **values: Any) -> int:
        sql = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})"
        return int(self.index.execute(sql, tuple(values.values())).lastrowid)

    def id(self, table: str, name: str) -> int:
        return int(self.one(f"SELECT id FROM {table} WHERE name = ?", name))

    def file(self, name: str, acq: str = "pilot", size: int | None = 1000, **copies: str) -> int:
        """A file, and copies of it as node="has wants"; returns its id."""
        acqs = self.all("SELECT id FROM archiveacq WHERE name = ?", acq)
        acq_id = acqs[0][0] if acqs else self.insert("archiveacq", name=acq)
        file_id = self.insert(
            "archivefile",
            acq_id=acq_id,
            name=name,
            size_b=size,
            md5sum="0" * 32,
            registered="2026-07-22 10:00:00",
        )
        for node, state in copies.items():
            self.insert(
                "archivefilecopy",
                file_id=file_id,
                node_id=self.id("storagenode", node),
                has_file=state[0],
                wants_file=state[1],
                ready=0,
                size_b=4096,
                last_update="2026-07-22 10:00:00",
            )
        return file_id

    def once_good(self, file_id: int, node: str) -> None:
        """The evidence that a copy was once recorded as good, so that a pull may replace it."""
        self.insert(
            "sync_verification",
            file_id=file_id,
            node_id=self.id("storagenode", node),
            verified="2026-07-22 10:00:00",
        )

    def request(self, file_id: int, node: str = "field1", group: str = "offsite", **columns: Any) -> int:
        return self.insert(
            "archivefilecopyrequest",
            file_id=file_id,
            node_from_id=self.id("storagenode", node),
            group_to_id=self.id("storagegroup", group),
            **{"completed": 0, "cancelled": 0, "timestamp": "2026-07-22 11:00:00", **columns},
        )

    def attempt(self, request_id: int, error: str = "disk full", blame: str = "destination") -> None:
        self.insert(
            "sync_attempt",
            kind="pull",
            subject_id=request_id,
            count=3,
            last="2026-07-22 12:00:00",
            next="2026-07-22 12:30:00",
            blame=blame,
            error=error,
        )

    def copy(self, file_id: int, node: str) -> str | None:
        """The copy's states, as `file` takes them."""
        found = self.all(
            "SELECT has_file, wants_file FROM archivefilecopy WHERE file_id = ? AND node_id = ?",
            file_id,
            self.id("storagenode", node),
        )
        return f"{found[0][0]}{found[0][1]}" if found else None

    def requests(self) -> list[tuple[Any, ...]]:
        """(file id, node, group) of the pending requests."""
        return self.all(
            "SELECT r.file_id, n.name, g.name FROM archivefilecopyrequest r"
            " JOIN storagenode n ON n.id = r.node_from_id JOIN storagegroup g ON g.id = r.group_to_id"
            " WHERE r.completed = 0 AND r.cancelled = 0 ORDER BY r.id"
        )


@pytest.fixture
def empty(index: Index, index_url: str, tmp_path: Path) -> Archive:
    """Commands on an index without rows."""
    return Archive(index, index_url, tmp_path)


@pytest.fixture
def archive(empty: Archive) -> Archive:
    return filled_with_storage(empty)


def filled_with_storage(empty: Archive) -> Archive:
    """The same, with the hosts, groups and nodes of an `Archive`."""
    hosts = {name: empty.insert("storagehost", name=name) for name in ("alp1", "alp2")}
    groups = {name: empty.insert("storagegroup", name=name) for name in ("field", "offsite", "spare")}
    for name, group, host, active in (
        ("field1", "field", "alp1", 1),
        ("off1", "offsite", "alp2", 1),
        ("off2", "offsite", "alp2", 0),
    ):
        empty.insert(
            "storagenode",
            name=name,
            root=f"/srv/{name}",
            host_id=hosts[host],
            group_id=groups[group],
            active=active,
            auto_import=0,
            auto_verify=0,
            archive=int(group == "offsite"),
            min_avail_gb=0,
        )
    return empty


@pytest.fixture
def filled(
    tmp_path: Path, index_url: str, example: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RealArchive]:
    """An archive in which there is something of everything that can be shown."""
    monkeypatch.setenv("PYTHONPATH", str(example))  # for the processes of `said`
    made = RealArchive(tmp_path, index_url)
    try:
        fill(made)
        few_inodes(made)
        yield made
    finally:
        made.close()
