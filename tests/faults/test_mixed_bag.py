"""An archive with one bad item of each kind: each affects only itself, and all good ones are done."""

import os
import time

import pytest

from tests.fixtures.archive import stand_in

DEEP = "[" * 100_000
BLOB = "x'ff'"
NO_UTF8 = "CAST(x'61ff' AS TEXT)"

# Of one file each, with a request from field to safe: what is set in which table, and what must be said of it.
FILES = [
    ("archivefile", "size_b", "'abc'", "size_b holds the text 'abc'"),
    ("archivefile", "size_b", "5.5", "size_b holds the number 5.5"),
    ("archivefile", "size_b", "9e999", "size_b holds the number inf"),
    ("archivefile", "size_b", "9223372036854775807", "no room on safe"),
    ("archivefile", "md5sum", BLOB, "md5sum holds the bytes"),
    ("archivefile", "md5sum", "12345", "invalid length or MD5 sum"),
    ("archivefile", "name", BLOB, "name holds the bytes"),
    ("archivefile", "name", NO_UTF8, "name holds the bytes b'a\\xff'"),
    ("archivefile", "acq_id", "'abc'", "the index has no row for the file"),
    ("archivefilecopy", "has_file", "x'59'", "has_file holds the bytes"),
    ("archivefilecopyrequest", "file_id", "'abc'", "file_id holds the text"),
    ("archivefilecopyrequest", "node_from_id", "'abc'", "node_from_id holds the text"),
]
# Of one node each, with a request into its group.
NODES = [
    ("root", BLOB),
    ("root", NO_UTF8),
    ("name", BLOB),
    ("auto_verify", "'abc'"),
    ("min_avail_gb", "'abc'"),
    ("max_total_gb", "9e999"),
    ("io_class", BLOB),
    ("io_class", "'NoSuchClass'"),
    ("io_config", f"'{DEEP}'"),
    ("io_config", '\'{"jobs": "x"}\''),
    ("io_config", "5"),
]
NEW = "22af645d1859cb5ca6da0c484f1f37ea"  # the MD5 sum of "new"
NAMES = [b"latin-\xe9", b"esc\x1b[31m", b"line\nFORGED: yes", "\u202eright".encode()]


@pytest.fixture
def bag(sqlite_archive, sshd):
    archive = sqlite_archive
    archive.host("there", address=sshd.address, username=sshd.username)
    for name in ("field", "far", "safe"):
        archive.node(name, host="there" if name == "far" else "here", archive=int(name == "safe"))
    archive.node("new", auto_import=1)
    says = stand_in(archive.base / "bin", "says", r"printf 'ferm\351 \033[31m\000\n' >&2; exit 255")
    archive.configure(transfer={"ssh": [str(says)]})
    return archive


def test_each_bad_item_affects_only_itself(bag):
    good = [
        bag.request(bag.file(f"acq/{number}", b"%d" % number, "field"), "field", "safe")
        for number in range(10)
    ]
    bad = []
    for number, (table, column, value, _) in enumerate(FILES):
        file_id = bag.file(f"bad{number}/f", b"bad", "field")
        bad.append(bag.request(file_id, "field", "safe"))
        where = "id" if table == "archivefile" else "file_id"
        bag.do(f"UPDATE {table} SET {column} = {value} WHERE {where} = ?", file_id)
    for number, (column, value) in enumerate(NODES):
        name = f"odd{number}"
        bag.node(name)
        bad.append(bag.request(bag.file(f"{name}/f", b"odd", "field"), "field", name))
        bag.do(f"UPDATE storagenode SET {column} = {value} WHERE name = ?", name)
    bad.append(bag.request(bag.file("acq/far", b"far", "far"), "far", "safe"))
    suspect = bag.file("acq/suspect", b"s", "field")
    bag.set_copy(suspect, "field", "MY")
    bag.do("UPDATE archivefile SET size_b = 'abc' WHERE id = ?", suspect)
    released = bag.file("acq/released", b"s", "field")
    bag.set_copy(released, "field", "YN")
    bag.do(f"UPDATE archivefile SET name = {BLOB} WHERE id = ?", released)
    for path in (BLOB, NO_UTF8):
        bag.do(
            "INSERT INTO archivefileimportrequest (node_id, path, recurse, register, completed)"
            f" VALUES (1, {path}, 1, 1, 0)"
        )
    bag.do(
        "INSERT INTO sync_attempt (kind, subject_id, count, last, next, blame, error)"
        f" VALUES ('pull', {good[0]}, 1, 'soon', 5, 7, 'x')"
    )
    bag.do("UPDATE archivefile SET registered = 5")
    directory = os.fsencode(bag.root("new") / "fresh")
    os.mkdir(directory)
    for name in (*NAMES, b"plain"):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(b"new")
        os.utime(os.path.join(directory, name), (time.time() - 3600,) * 2)

    result = bag.sync()

    assert [bag.state(request) for request in good] == ["done"] * 10, result
    assert "done" not in [bag.state(request) for request in bad]
    assert "cancelled" not in [bag.state(request) for request in bad]
    # A pull from the other host failed, and a row that is to be corrected is a warning.
    assert result.status == 1, result
    for *_, said in FILES:
        assert said in result.err, said
    for number in range(len(NODES)):
        assert (
            f"node odd{number} is left out" in result.err or f"node ({number + 5}) is left out" in result.err
        )
    assert "skipped an import request on field: row 1 of archivefileimportrequest" in result.err
    assert "ferm\\" in result.err and "\x1b" not in result.err and "\nFORGED" not in result.err
    assert bag.copy(suspect, "field") == "MY" and bag.copy(released, "field") == "YN"
    names = {name for (name,) in bag.all("SELECT name FROM archivefile WHERE md5sum = ?", NEW)}
    assert "plain" in names and len(names) == len(NAMES)
    assert bag.one("SELECT exit_status FROM sync_run") == 1
    log = (bag.base / "here.log").read_text()
    assert "Traceback" not in log and "\x1b" not in log and "\nFORGED" not in log
    for command in ("plan --files", "status", "request list", "file list --details", "node list", "history"):
        shown = bag.run(*command.split())
        assert shown.status in (0, 1) and "Error:" not in shown.err, (command, shown)
        assert "\x1b" not in shown.out + shown.err, (command, shown)
