"""Statements of runs and of daily commands read no table as a whole that grows with the archive.

On MariaDB, they are taken from the server's log while real commands run, and are executed again with their real
values.  On SQLite, the steps of its virtual machine are counted meanwhile.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from pathlib import Path

import pytest

from tests.fixtures.archive import Archive
from tests.fixtures.tape import Tape

FILES = 20_000
READ_AT_MOST = 3_000  # rows
STEPS_AT_MOST = 40  # thousands; a scan of the files takes more
OLD = "2026-01-01 00:00:00"
GROWING = {
    "archiveacq",
    "archivefile",
    "archivefilecopy",
    "archivefilecopyrequest",
    "sync_event",
    "sync_verification",
}
# SQLite counts the rows of a table in one step.
COUNTED = re.compile(r"SELECT COUNT\(\*\)[^()]* FROM (\w+)( [a-z]\w*)?$", re.IGNORECASE)


class Meter(ABC):
    """Runs commands, and fails if a statement reads many rows."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive

    @abstractmethod
    def run(self, *words: str) -> int:
        """Run a command; return the number of its statements that were examined."""

    def synced(self) -> int:
        return self.run("sync")

    def _done(self, *words: str) -> None:
        result = self.archive.run(*words)
        assert result.status == 0 or words[0] in ("doctor", "status"), result


class OnMariaDB(Meter):
    """Executes the logged SELECTs of growing tables again, and explains the changes."""

    def run(self, *words: str) -> int:
        self._log("TRUNCATE mysql.general_log", "SET GLOBAL general_log = ON")
        try:
            self._done(*words)
        finally:
            self._log("SET GLOBAL general_log = OFF")
        rows = self.archive.all(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
        )
        number = 0
        for sql in dict.fromkeys(str(row[0]) for row in rows):
            kind = sql.split(maxsplit=1)[0]
            if kind in ("SELECT", "UPDATE", "DELETE") and any(table in sql for table in GROWING):
                number += 1
                read = self._read(sql) if kind == "SELECT" else self._to_change(sql)
                assert read < READ_AT_MOST, (read, " ".join(sql.split()))
        return number

    def _log(self, *statements: str) -> None:
        for statement in ("SET GLOBAL log_output = 'TABLE'", *statements):
            self.archive.index.execute(statement)

    def _read(self, sql: str) -> int:
        """The number of rows and entries of indexes that a SELECT reads."""
        self.archive.do("FLUSH STATUS")
        self.archive.all(re.sub(r"(FOR UPDATE|LOCK IN SHARE MODE)\s*$", "", sql))
        status = self.archive.all("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _, value in status)

    def _to_change(self, sql: str) -> int:
        """The number of rows that an UPDATE or DELETE reads, as the server estimates it."""
        found = self.archive.all(f"EXPLAIN {sql}")
        return sum(int(row[8]) for row in found if row[2] in GROWING and row[8] is not None)


class OnSQLite(Meter):
    """Counts the steps of SQLite's virtual machine while the command runs."""

    def run(self, *words: str) -> int:
        counted = self.archive.base / "counted"
        counted.unlink(missing_ok=True)
        before = self.archive.program
        self.archive.program = (str(Path(__file__).with_name("counting.py")), str(counted))
        try:
            self._done(*words)
        finally:
            self.archive.program = before
        number = 0
        for line in counted.read_text().splitlines():
            count, _, sql = line.partition("\t")
            number += 1
            assert int(count) < STEPS_AT_MOST, (count, sql)
            found = COUNTED.fullmatch(sql)
            assert not found or found[1] not in GROWING, sql
        return number


@pytest.fixture
def meter(archive: Archive) -> Meter:
    """Nodes field and safe of host here with a few files, and far and far_too of another host with very many."""
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1, auto_verify=2)
    archive.node("far", archive=1, host="there")
    archive.node("far_too", archive=1, host="there")
    archive.configure(sync={"import_settle": 0})
    _fill(archive)
    return OnSQLite(archive) if archive.index.dialect.in_a_file else OnMariaDB(archive)


def _fill(archive: Archive) -> None:
    nodes = [archive.id("storagenode", name) for name in ("far", "far_too")]
    group = archive.id("storagegroup", "far_too")
    ids = range(1001, 1001 + FILES)

    def put(table: str, columns: str, rows: list[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * len(rows[0]))
        archive.index.executemany(f"INSERT INTO {table} ({columns}) VALUES ({marks})", rows)

    with archive.index.transaction():
        put("archiveacq", "id, name", [(id, f"old{id - 1000}") for id in range(1001, 3001)])
        put(
            "archivefile",
            "id, acq_id, name, size_b, md5sum, registered",
            [(id, 1001 + id % 2000, f"f{id}", 10, f"{id:032x}", OLD) for id in ids],
        )
        copies = [(id, node) for node in nodes for id in ids]
        put(
            "archivefilecopy",
            "file_id, node_id, has_file, wants_file, ready, size_b, last_update",
            [(*copy, "Y", "Y", 1, 10, OLD) for copy in copies],
        )
        put("sync_verification", "file_id, node_id, verified", [(*copy, OLD) for copy in copies])
        put(
            "archivefilecopyrequest",
            "file_id, group_to_id, node_from_id, completed, cancelled, timestamp",
            [(id, group, nodes[0], 1, 0, OLD) for id in ids],
        )
        put(
            "sync_event",
            "at, file_id, node_id, what, why",
            [(OLD, id, nodes[1], "pulled", "") for id in ids],
        )
    for table in GROWING if not archive.index.dialect.in_a_file else ():
        archive.all(f"ANALYZE TABLE {table}")  # as the server does by itself


def also_far(archive: Archive, file_id: int) -> None:
    for node in ("far", "far_too"):
        archive.insert(
            "archivefilecopy", file_id=file_id, node_id=archive.id("storagenode", node), has_file="Y",
            wants_file="Y", ready=1, size_b=1, last_update=OLD,
        )  # fmt: skip


@pytest.mark.both_engines
def test_a_run_reads_only_rows_of_its_work(meter: Meter) -> None:
    archive = meter.archive
    known = [archive.file(f"acq/{name}", None, "field") for name in ("pull", "delete", "check")]
    archive.synced()  # counts and compares what is counted and compared once a day
    archive.request(known[0], "field", "safe")
    archive.set_copy(known[2], "field", "MY")
    also_far(archive, known[1])
    archive.set_copy(known[1], "field", "YN")
    archive.put("field", "acq/new", b"new")
    meter.synced()
    assert archive.copy(known[0], "safe") == "YY" and archive.copy(known[1], "field") == "NN"
    assert archive.copy(known[2], "field") == "YY"
    assert archive.one("SELECT COUNT(*) FROM archivefile WHERE name = 'new'") == 1
    meter.synced()


@pytest.mark.both_engines
def test_policies_and_rules_read_only_new_files(meter: Meter) -> None:
    archive = meter.archive
    assert (
        archive.run("policy", "create", "one", "--copies", "1", "--acq", "acq", "--group", "safe").status == 0
    )
    archive.node("lab")
    archive.insert(
        "storagetransferaction", node_from_id=archive.id("storagenode", "field"),
        group_to_id=archive.id("storagegroup", "lab"), autosync=1, autoclean=0,
    )  # fmt: skip
    for _ in range(2):
        archive.synced()  # looks at all files
    new = [archive.put("field", f"acq/{name}", name.encode()) for name in ("one", "two")]
    meter.synced()
    assert all(
        archive.root("safe").joinpath(path.relative_to(archive.root("field"))).exists() for path in new
    )


@pytest.mark.both_engines
def test_the_trash_reads_only_its_files(meter: Meter) -> None:
    archive = meter.archive
    archive.configure(sync={"trash": "14d"})
    file_id = archive.file("acq/f", None, "field")
    also_far(archive, file_id)
    archive.synced()
    archive.set_copy(file_id, "field", "YN")
    meter.synced()
    assert archive.copy(file_id, "field") == "NN" and archive.one("SELECT COUNT(*) FROM sync_trash") == 1
    meter.run("file", "undelete", "acq/f")
    meter.synced()
    assert archive.copy(file_id, "field") == "YY"


@pytest.mark.both_engines
def test_a_retirement_reads_only_files_of_its_node(meter: Meter) -> None:
    archive = meter.archive
    file_id = archive.file("acq/f", None, "field")
    archive.synced()
    meter.run("node", "retire", "field", "--into", "safe", "--release", "--force")
    for _ in range(2):
        meter.synced()
    assert archive.copy(file_id, "safe") == "YY"
    meter.run("node", "retire", "field", "--cancel")


@pytest.mark.both_engines
def test_tape_reads_only_its_copies(meter: Meter) -> None:
    archive = meter.archive
    tape = Tape(archive)
    files = tape.files(3)
    archive.synced()
    archive.requests(files[:2], "tape", "disk")
    for _ in range(2):
        meter.synced()
        tape.lfs.finish()
    meter.synced()
    assert archive.copy(files[0], "disk") == "YY"


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("plan",),
        ("doctor",),
        ("node", "stats"),
        ("node", "list"),
        ("file", "show", "old1/f2000", "--all"),
        ("file", "find", "--suspect"),
        ("file", "find", "--corrupt", "--limit", "5"),
        ("request", "list"),
        ("request", "list", "--limit", "5"),
        ("history", "--limit", "5"),
        ("acq", "list", "--limit", "5"),
        ("node", "sync", "far", "far_too", "--check"),
    ],
    ids=" ".join,
)
def test_a_daily_command_reads_few_rows(meter: Meter, command: tuple[str, ...]) -> None:
    archive = meter.archive
    archive.file("acq/a", None, "field")
    archive.do("DELETE FROM sync_index WHERE name = 'tallies'")
    archive.synced()
    meter.run(*command)


def test_a_scan_is_found(meter: Meter) -> None:
    """Counting how many files are suspect reads each copy of a node."""
    with pytest.raises(AssertionError, match="archivefilecopy"):
        meter.run("node", "sync", "far", "safe", "--check")
