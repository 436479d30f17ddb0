"""An index of the alpenhorn daemon: runs work on it, and the daemon can still use it."""

import hashlib
import os
import re

import pytest

from alpenhorn.index.connection import Index
from alpenhorn.index.tables import SYNC_TABLES
from tests.cli.db.test_db import db
from tests.fixtures.archive import Archive
from tests.index.daemon import DAEMON_TABLES, make_daemon_index

THEN = "2025-11-22 03:04:05"
OLDER = 1_735_689_600  # POSIX seconds: when the files were written
SYNC = [table._meta.table_name for table in SYNC_TABLES]


def md5(content):
    return hashlib.md5(content).hexdigest()


def structure(index):
    """Return the definitions of the daemon's tables, and separately our additions to them."""
    tables, ours = {}, set()
    if index.dialect.in_a_file:
        for name, table, sql in index.execute("SELECT name, tbl_name, sql FROM sqlite_master").fetchall():
            if table in DAEMON_TABLES:
                if name.startswith("sync_"):
                    ours.add(name)
                else:
                    tables[name] = sql
        return tables, ours
    for table in DAEMON_TABLES:
        ddl = index.execute(f"SHOW CREATE TABLE {table}").fetchone()[1]
        lines = re.sub(r" AUTO_INCREMENT=\d+", "", ddl).replace(",\n", "\n").splitlines()
        ours |= {line.split("`")[1] for line in lines if re.match(r" *KEY `sync_", line)}
        tables[table] = [line for line in lines if not re.match(r" *KEY `sync_", line)]
    return tables, ours


def fill(index, base):
    """Insert rows as the daemon leaves them after years of work on two hosts."""
    insert = index.execute
    insert(
        "INSERT INTO storagehost (name, username, address, notes) VALUES ('here', 'obs', 'here.example.org', 'x')"
    )
    insert(
        "INSERT INTO storagehost (name, username, address, notes) VALUES ('there', 'arc', 'there.example.org', NULL)"
    )
    for name in ("field", "vault", "offsite"):
        insert(
            "INSERT INTO storagegroup (name, io_class, notes, io_config) VALUES (?, NULL, NULL, NULL)",
            (name,),
        )
    for name, host, group, active, archive in (
        ("field", 1, 1, 1, 0),
        ("vault", 1, 2, 1, 1),
        ("offsite", 2, 3, 1, 1),
        ("retired", 1, 1, 0, 0),
    ):
        insert(
            "INSERT INTO storagenode (name, root, host_id, io_class, group_id, active, auto_import, auto_verify, "
            "archive, max_total_gb, min_avail_gb, avail_gb, avail_gb_last_checked, notes, io_config) "
            "VALUES (?, ?, ?, NULL, ?, ?, 0, 0, ?, 5000.5, 0, 12.25, ?, 'kept', NULL)",
            (name, str(base / name), host, group, active, archive, THEN),
        )
    insert("INSERT INTO archiveacq (name, comment) VALUES ('old', 'of the daemon')")
    for number in range(6):
        content = f"old/{number}.h5".encode()
        insert(
            "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (1, ?, ?, ?, ?)",
            (f"{number}.h5", len(content), md5(content), THEN),
        )
        for node, has in ((1, "Y"), (3, "Y"), (4, "N")):
            insert(
                "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update) "
                "VALUES (?, ?, ?, ?, 0, 4096, ?)",
                (number + 1, node, has, "N" if has == "N" else "Y", THEN),
            )
        insert(
            "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp, "
            "transfer_started, transfer_completed) VALUES (?, 3, 1, 1, 0, ?, ?, ?)",
            (number + 1, THEN, THEN, THEN),
        )
    insert(
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) "
        "VALUES (1, 2, 1, 0, 0, ?)",
        (THEN,),
    )
    insert(
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) "
        "VALUES (2, 3, 4, 0, 1, ?)",
        (THEN,),
    )
    insert(
        "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed, timestamp) "
        "VALUES (1, 'new', 1, 1, 0, ?)",
        (THEN,),
    )
    insert(
        "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed, timestamp) "
        "VALUES (1, 'old', 1, 0, 1, ?)",
        (THEN,),
    )
    insert(
        "INSERT INTO storagetransferaction (node_from_id, group_to_id, autosync, autoclean) VALUES (1, 2, 1, 0)"
    )


@pytest.fixture
def moved(index_url, tmp_path):
    """The daemon's index after `db init`, with its files on nodes of this host."""
    index = Index.open(index_url, create=True)
    make_daemon_index(index)
    fill(index, tmp_path)
    before = structure(index)
    index.close()
    assert db(index_url, "check").returncode == 3
    assert db(index_url, "init").returncode == 0
    archive = Archive(tmp_path, index_url)
    for node in ("field", "vault", "retired"):
        (tmp_path / node).mkdir()
        (tmp_path / node / "ALPENHORN_NODE").write_text(f"{node}\n")
    for number in range(6):
        path = archive.put("field", f"old/{number}.h5", f"old/{number}.h5".encode())
        os.utime(path, (OLDER, OLDER))
    archive.put("field", "new/0.h5", b"new 0")  # which the daemon was asked to import
    archive.structure = before[0]
    yield archive
    archive.close()


def assert_still_the_daemons(archive):
    tables, ours = structure(archive.index)
    assert tables == archive.structure
    assert ours and all(name.startswith("sync_") for name in ours)


def done(archive, *arguments):
    result = archive.run(*arguments)
    assert result.status == 0, result
    return result


def test_real_work_leaves_the_daemons_tables_and_rows_as_they_were(moved):
    before = moved.dump()
    new = {f"new/{number}.h5": f"new {number}".encode() * 100 for number in range(20)}
    for path, content in new.items():
        moved.put("field", path, content)
    # The daemon's requests: an import, a pull; its edge: autosync of what is imported.
    moved.synced()
    assert moved.tree("vault") == new | {"old/0.h5": b"old/0.h5"}
    # Edits by our commands, and what runs make of them.
    done(moved, "node", "sync", "field", "vault", "--force")
    moved.synced()
    assert moved.tree("vault") == moved.tree("field")
    moved.put("field", "old/3.h5", b"rotten!!")
    done(moved, "node", "verify", "field", "--all", "--force")
    assert moved.sync().status == 1
    file_id = moved.one("SELECT id FROM archivefile WHERE name = '3.h5' AND acq_id = 1")
    assert moved.copy(file_id, "field") == "XY"
    done(moved, "repair", "--force")
    done(moved, "node", "clean", "field", "--now", "--acq", "old", "--force")
    # Offsite is served by the daemon alone, so that no run of ours ever sees it.
    moved.configure(sync={"trust_unseen": True})
    result = moved.sync()
    assert result.status == 0, result
    assert [path for path in moved.tree("field") if path.startswith("old/")] in ([], ["old/3.h5"])
    done(moved, "node", "modify", "retired", "--notes", "gone for good")
    done(moved, "host", "modify", "there", "--address", "elsewhere.example.org")
    done(moved, "file", "clean", "new/0.h5", "--node", "field", "--cancel")
    assert moved.violations() == [
        f"{name} on offsite: No such file or directory"
        for name in sorted(f"old/{number}.h5" for number in range(6))
    ]
    assert_still_the_daemons(moved)
    after = moved.dump()
    assert after["storagegroup"] == before["storagegroup"]
    assert after["storagetransferaction"] == before["storagetransferaction"]
    assert after["archiveacq"][: len(before["archiveacq"])] == before["archiveacq"]
    assert after["archivefile"][: len(before["archivefile"])] == before["archivefile"]
    assert ("alpenhorn", 2) in [row[1:] for row in after["dataindexversion"]]
    # Hosts and nodes: only what a command named, and the free space that a run measures.
    host = list(before["storagehost"][1])
    host[3] = "elsewhere.example.org"
    assert after["storagehost"] == [before["storagehost"][0], tuple(host)]
    measured = [column.name for column in moved.index.db.get_columns("storagenode")].index("avail_gb")
    for old, found in zip(before["storagenode"], after["storagenode"], strict=True):
        expected = list(old)
        if old[1] in ("field", "vault"):
            expected[measured : measured + 2] = found[measured : measured + 2]
        if old[1] == "retired":
            expected[-2] = "gone for good"
        assert found == tuple(expected)
    # Copies on the other host and on the node that is not active, and settled requests.
    other = "SELECT * FROM archivefilecopy WHERE node_id IN (3, 4) ORDER BY id"
    assert moved.all(other) == [row for row in before["archivefilecopy"] if row[2] in (3, 4)]
    settled = [row for row in before["archivefilecopyrequest"] if row[4] or row[5]]
    found = {row[0]: row for row in after["archivefilecopyrequest"]}
    assert [found[row[0]] for row in settled] == settled
    assert after["archivefileimportrequest"][1] == before["archivefileimportrequest"][1]


def test_the_daemon_can_still_use_it(moved):
    """Execute the daemon's statements, with its own columns only; a run carries out what they request."""
    moved.synced()
    content = b"by the daemon"
    moved.put("field", "its/file.h5", content)
    execute = moved.index.execute
    execute("INSERT INTO archiveacq (name, comment) VALUES ('its', NULL)")
    acq_id = moved.id("archiveacq", "its")
    execute(
        "INSERT INTO archivefile (acq_id, name, size_b, md5sum, registered) VALUES (?, 'file.h5', ?, ?, ?)",
        (acq_id, len(content), md5(content), THEN),
    )
    file_id = moved.one("SELECT id FROM archivefile WHERE acq_id = ?", acq_id)
    execute(
        "INSERT INTO archivefilecopy (file_id, node_id, has_file, wants_file, ready, size_b, last_update) "
        "VALUES (?, 1, 'Y', 'Y', 1, 4096, ?)",
        (file_id, THEN),
    )
    execute(
        "INSERT INTO archivefilecopyrequest (file_id, group_to_id, node_from_id, completed, cancelled, timestamp) "
        "VALUES (?, 2, 1, 0, 0, ?)",
        (file_id, THEN),
    )
    pending = (
        "SELECT t1.id, t1.file_id, t2.name, t4.name FROM archivefilecopyrequest AS t1"
        " INNER JOIN archivefile AS t2 ON t1.file_id = t2.id INNER JOIN archiveacq AS t4 ON t2.acq_id = t4.id"
        " INNER JOIN storagenode AS t3 ON t1.node_from_id = t3.id LEFT JOIN storagehost AS t5 ON t3.host_id = t5.id"
        " WHERE t1.completed = 0 AND t1.cancelled = 0 AND t1.group_to_id = 2 AND t5.name = 'here'"
    )
    assert [row[1:] for row in moved.all(pending)] == [(file_id, "file.h5", "its")]
    moved.synced()
    assert moved.all(pending) == []
    assert moved.tree("vault")["its/file.h5"] == content
    # It settles a request itself, takes a node off line, registers another, and deletes rows.
    execute(
        "UPDATE archivefilecopy SET has_file = 'N', wants_file = 'N' WHERE file_id = ? AND node_id = 1",
        (file_id,),
    )
    execute("UPDATE storagenode SET active = 0, avail_gb = 1.5 WHERE id = 1")
    execute(
        "INSERT INTO storagenode (name, root, host_id, io_class, group_id, active, auto_import, auto_verify, archive, "
        "max_total_gb, min_avail_gb, avail_gb, avail_gb_last_checked, notes, io_config) "
        "VALUES ('fresh', '/nowhere', 1, NULL, 1, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL)"
    )
    execute("DELETE FROM archivefilecopyrequest WHERE file_id = ?", (file_id,))
    execute("DELETE FROM archivefilecopy WHERE file_id = ?", (file_id,))
    execute("DELETE FROM archivefile WHERE id = ?", (file_id,))
    moved.synced()
    done(moved, "status")
    # Our rows about a file that is gone are told by nobody as a fault.
    assert db(moved.url, "check").returncode == 0
    assert_still_the_daemons(moved)


def forget_identities(archive):
    """Remove the identities, as the message advises."""
    for node in ("field", "vault"):
        (archive.root(node) / ".alpenhorn/identity").unlink()


def test_our_tables_can_be_dropped_and_created_again(moved):
    moved.synced()
    done(moved, "file", "pin", "old/1.h5")
    for name in SYNC:
        moved.index.execute(f"DROP TABLE {name}")
    refused = moved.sync()
    assert refused.status == 3 and "run `alpenhorn db init`" in refused.err
    assert db(moved.url, "init").returncode == 0
    # The disks know an index of which this one knows nothing any more.
    assert "belongs to another index" in moved.sync().err
    forget_identities(moved)
    done(moved, "node", "sync", "field", "vault", "--force")
    moved.synced()
    assert moved.tree("vault") == moved.tree("field")
    # With the version and the indexes gone too, it is what the daemon made, to the letter.
    for name in SYNC:
        moved.index.execute(f"DROP TABLE {name}")
    moved.index.execute("DELETE FROM dataindexversion WHERE component = 'sync'")
    for name in structure(moved.index)[1]:
        table = next(
            table
            for table in DAEMON_TABLES
            if name in {found.name for found in moved.index.db.get_indexes(table)}
        )
        moved.index.execute(f"DROP INDEX {name}" + ("" if moved.index.dialect.in_a_file else f" ON {table}"))
    assert structure(moved.index) == (moved.structure, set())
    assert db(moved.url, "init").returncode == 0
    forget_identities(moved)
    moved.synced()


# --- names that the server takes for one ---------------------------------------------------------------


def pytest_generate_tests(metafunc):
    """Run each test on both engines, and those that use `folding` on the server only."""
    if "index_url" in metafunc.fixturenames:
        engines = ["mariadb"] if "folding" in metafunc.fixturenames else ["sqlite", "mariadb"]
        metafunc.parametrize("index_url", engines, indirect=True)


@pytest.fixture
def index_url(request):
    return request.getfixturevalue(f"{request.param}_index_url")


@pytest.fixture
def folding(moved):
    """A server whose default collation treats some different names as equal."""
    return moved


def test_db_check_reports_names_that_the_server_treats_as_equal(folding):
    checked = db(folding.url, "check")
    assert checked.returncode == 0
    assert "names that differ only in case, accents or trailing blanks are treated as equal" in checked.stdout
    assert "archivefile.name (utf8mb4_general_ci)" in checked.stdout


COLLIDING = {
    "old/2.H5": b"another file",
    "OLD/4.h5": b"in another directory",
    "twice/a.h5": b"a",
    "twice/A.h5": b"A!",
}


def test_colliding_names_harm_no_file(folding):
    """Whatever happens to the rows, no byte on a disk changes, and no copy is recorded wrongly."""
    for path, content in COLLIDING.items():
        folding.put("field", path, content)
    before = folding.tree("field")
    for path in ("old", "OLD", "twice"):
        folding.run("node", "scan", "field", path, "--register-new")
    results = [folding.sync() for _ in range(3)]
    folding.run("node", "verify", "field", "--all", "--force")
    results.append(folding.sync())
    assert folding.tree("field") == before
    assert (
        "the index does not distinguish its name from that of another acquisition or file" in results[0].err
    )
    assert "alpenhorn db check" in results[0].err
    assert all("Traceback" not in result.err for result in results)
    for number in range(6):
        assert folding.copy(number + 1, "field") == "YY", results
    assert folding.violations() == [
        f"old/{number}.h5 on offsite: No such file or directory" for number in range(6)
    ]
    # What arrived in the other group is what its name says.
    for path, content in folding.tree("vault").items():
        assert before[path] == content


def test_a_release_of_one_name_never_removes_the_other(folding):
    folding.put("field", "old/2.H5", b"another file")
    done(folding, "node", "sync", "field", "vault", "--force")
    folding.synced()
    done(folding, "node", "clean", "field", "--now", "--force")
    folding.configure(sync={"trust_unseen": True})  # offsite is served by the daemon alone
    folding.synced()
    assert set(folding.tree("field")) == {"old/2.H5", "new/0.h5"}
