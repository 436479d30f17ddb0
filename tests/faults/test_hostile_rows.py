"""Rows with invalid content: refused or processed correctly, never outside the root."""

import pytest

from alpenhorn.model.nodes import MARKER


@pytest.fixture
def pair(archive):
    """A plain node and an archive node below a directory of their own, and one request that can be served."""
    for name in ("field", "safe"):
        root = archive.base / "inner" / name
        root.mkdir(parents=True)
        (root / MARKER).write_text(f"{name}\n")
        archive.node(name, made=False, root=str(root), archive=int(name == "safe"))
    archive.root = lambda node: archive.base / "inner" / node
    (archive.base / "outside").write_bytes(b"bytes")
    (archive.base / "inner" / "beside").write_bytes(b"bytes")
    archive.certain = archive.request(archive.file("acq/certain", b"certain", "field"), "field", "safe")
    return archive


def everywhere(archive):
    """Return all paths below the base that the test has created, not a run."""

    def ours(path):
        runs_own = {"said", ".alpenhorn", "safe"} & set(path.parts) or "index.db" in path.name
        return not runs_own and path.suffix not in (".log", ".toml")

    return {str(path.relative_to(archive.base)) for path in archive.base.rglob("*") if ours(path)}


def registered(archive, acq, name, content=b"bytes", **columns):
    """Insert a file row with arbitrary values, recorded as good on the field node."""
    rows = archive.all("SELECT id FROM archiveacq WHERE name = ?", acq)
    acq_id = rows[0][0] if rows else archive.insert("archiveacq", name=acq)
    values = {"acq_id": acq_id, "name": name, "size_b": 5, "md5sum": "4b3a6218bb3e3a7303e8a171a60fcf92"}
    file_id = archive.insert("archivefile", registered="2026-01-01 00:00:00", **values | columns)
    archive.set_copy(file_id, "field", "YY")
    return file_id


PATHS = [
    ("..", "outside"),
    ("..", "beside"),
    ("acq", "../../beside"),
    ("acq", "../certain"),
    ("acq", "/etc/hostname"),
    ("/etc", "hostname"),
    ("", "etc/hostname"),
    ("", ""),
    (".", "acq/certain"),
    ("acq", ""),
    ("acq", "."),
    ("acq", "a//b"),
    ("acq", "./certain"),
    ("acq", "dir/"),
    (MARKER, "f"),
    (".alpenhorn", "run.lock"),
    (".alpenhorn.lock", "f"),
]


def test_paths_that_leave_the_root_or_mean_nothing_are_refused_and_the_rest_goes_on(pair):
    ids = [registered(pair, acq, name) for acq, name in PATHS]
    requests = pair.requests(ids, "field", "safe")
    suspects = [registered(pair, acq, f"{name}/") for acq, name in PATHS if name]
    for file_id in suspects:
        pair.set_copy(file_id, "field", "MY")
    before = everywhere(pair)
    planned = pair.run("plan", "--files")
    result = pair.sync()
    assert planned.status == 0 and result.status in (0, 1)
    assert pair.state(pair.certain) == "done"
    assert "done" not in [pair.state(request) for request in requests]
    assert set(pair.tree("safe")) == {"acq/certain"}
    assert everywhere(pair) == before
    # Each is told, by kind and with one as an example; nothing is called good, missing or corrupt for it.
    assert (
        "not a path below a root" in result.err and MARKER in result.err and "correct the row" in result.err
    )
    assert {pair.copy(file_id, "field") for file_id in ids} == {"YY"}
    assert {pair.copy(file_id, "field") for file_id in suspects} == {"MY"}


def test_control_characters_are_refused_or_arrive_and_never_reach_a_terminal(pair):
    names = ["nul\0byte", "newline\nFORGED: yes", "escape\x1b[2Jscreen", "return\rover"]
    requests = pair.requests([registered(pair, "acq", name) for name in names], "field", "safe")
    planned = pair.run("plan", "--files")
    result = pair.sync()
    assert pair.state(pair.certain) == "done"
    assert "done" not in [pair.state(request) for request in requests]
    shown = result.err + planned.out + pair.run("status").out + pair.run("request", "list").out
    assert not any(character in shown for character in "\0\x1b\r")
    assert not any(line.startswith("FORGED") for line in shown.splitlines())
    log = (pair.base / "here.log").read_text()
    assert "\x1b" not in log and not any(line.startswith("FORGED") for line in log.splitlines())


def test_files_that_cannot_be_verified_are_skipped_with_the_reason(pair):
    wrong = [
        {"size_b": None},
        {"size_b": -1},
        {"size_b": 2**62},
        {"md5sum": None},
        {"md5sum": ""},
        {"md5sum": "not hexadecimal at all, no, sir!"},
        {"md5sum": "abc"},
    ]
    ids = []
    for number, columns in enumerate(wrong):
        pair.put("field", f"acq/{number}", b"bytes")
        ids.append(registered(pair, "acq", str(number), **columns))
    requests = pair.requests(ids, "field", "safe")
    result = pair.sync()
    assert result.status == 0
    for reason in ("no length", "no MD5 sum", "invalid length or MD5 sum", "no room"):
        assert reason in result.err
    assert {pair.state(request) for request in requests} == {"pending"}
    assert {pair.copy(file_id, "field") for file_id in ids} == {"YY"}
    assert set(pair.tree("safe")) == {"acq/certain"}
    assert pair.run("status").status == 0


def test_an_md5_sum_in_upper_case_is_the_same_sum(pair):
    pair.put("field", "acq/f", b"bytes")
    file_id = registered(pair, "acq", "f", md5sum="4B3A6218BB3E3A7303E8A171A60FCF92")
    request = pair.request(file_id, "field", "safe")
    pair.synced()
    assert pair.state(request) == "done"
    pair.set_copy(file_id, "safe", "MY")
    pair.synced()
    assert pair.copy(file_id, "safe") == "YY"


def test_names_as_long_as_the_columns_arrive_or_are_refused(pair):
    ids = {}
    for name in ("n" * 255, "ü" * 127, "d" * 127 + "/" + "e" * 127, "ü" * 255):
        acq = "a" * 64
        file_id = registered(pair, acq, name)
        if len(name.encode()) <= 255:
            pair.put("field", f"{acq}/{name}", b"bytes")
        ids[name] = pair.request(file_id, "field", "safe")
    result = pair.sync()
    assert [pair.state(request) for request in ids.values()] == ["done", "done", "done", "pending"]
    assert "longer than 255 bytes" in result.err


DANGLING = [
    "DELETE FROM archivefile WHERE id = FILE",
    "DELETE FROM archiveacq WHERE name = ACQ",
    "DELETE FROM archivefilecopy WHERE file_id = FILE",
    "UPDATE archivefilecopyrequest SET node_from_id = 9999 WHERE id = REQUEST",
    "UPDATE archivefilecopyrequest SET group_to_id = 9999 WHERE id = REQUEST",
    "UPDATE archivefilecopyrequest SET file_id = 9999 WHERE id = REQUEST",
    "UPDATE archivefilecopy SET node_id = 9999 WHERE file_id = FILE",
    "UPDATE storagenode SET host_id = 9999 WHERE name = ODD",
    "UPDATE storagenode SET group_id = 9999 WHERE name = ODD",
]


def test_rows_that_refer_to_deleted_ones_stop_nothing(pair):
    pair.node("odd")
    requests, changes = [], []
    for number, change in enumerate(DANGLING):
        pair.put("field", f"gone{number}/f", b"bytes")
        file_id = registered(pair, f"gone{number}", "f")
        requests.append(pair.request(file_id, "field", "safe"))
        pair.set_copy(registered(pair, f"gone{number}", "g"), "field", "MY")
        sql, _, what = change.rpartition(" ")
        values = {"FILE": file_id, "REQUEST": requests[-1], "ACQ": f"gone{number}", "ODD": "odd"}
        changes.append((f"{sql} ?", values[what]))
    for sql, value in changes:
        pair.do(sql, value)
    result = pair.sync()
    assert result.status in (0, 1)
    assert pair.state(pair.certain) == "done", result
    for command in (
        ["plan"],
        ["plan", "--files"],
        ["status"],
        ["request", "list"],
        ["node", "list"],
        ["db", "check"],
    ):
        assert pair.run(*command).status in (0, 1)
    for request in requests:
        assert pair.run("request", "show", str(request)).status in (0, 1)


def test_hostile_import_requests_import_nothing_and_stop_nothing(pair):
    paths = [
        "../..",
        "acq/../../beside",
        "a\nb",
        "nul\0",
        ".alpenhorn",
        "-rf",
        "acq//x",
        "x" * 1024,
        "/no/such/file",
    ]
    for path in paths:
        values = {"node_id": pair.id("storagenode", "field"), "path": path, "recurse": 1, "register": 1}
        pair.insert("archivefileimportrequest", **values, completed=0)
    result = pair.sync()
    assert result.status == 1, result
    assert pair.state(pair.certain) == "done"
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 1
    assert pair.all("SELECT DISTINCT completed FROM archivefileimportrequest") == [(1,)]
    pair.synced()


def test_an_import_request_of_a_deleted_node_stops_nothing(pair):
    pair.insert("archivefileimportrequest", node_id=9999, path="x", recurse=0, register=0, completed=0)
    pair.synced()
    assert pair.state(pair.certain) == "done"


def test_symbolic_links_in_the_trees_are_not_followed(pair):
    (pair.root("field") / "linked").symlink_to(pair.base)
    (pair.root("safe") / "out").symlink_to(pair.base)
    through = registered(pair, "linked", "outside")
    into = registered(pair, "out", "planted")
    pair.put("field", "out/planted", b"bytes")
    requests = [pair.request(through, "field", "safe"), pair.request(into, "field", "safe")]
    result = pair.sync()
    assert result.status == 1
    assert "done" not in [pair.state(request) for request in requests]
    assert not (pair.base / "planted").exists()
    assert pair.state(pair.certain) == "done"


def test_a_private_directory_that_is_a_link_is_refused(pair):
    elsewhere = pair.base / "elsewhere"
    (elsewhere / "run-1-0").mkdir(parents=True)
    (elsewhere / "run-1-0" / "precious").write_bytes(b"precious")
    (pair.root("safe") / ".alpenhorn").symlink_to(elsewhere)
    result = pair.sync()
    assert (elsewhere / "run-1-0" / "precious").read_bytes() == b"precious"
    assert "safe" in result.err


def test_situation_12_lengths_near_the_largest_number_are_shown(archive):
    """The sum of any two of them exceeds the range of a column."""
    archive.node("field", archive=1)
    archive.node("safe", archive=1)
    for number in range(3):
        file_id = archive.file(f"acq/{number}", b"bytes", "field")
        archive.do("UPDATE archivefile SET size_b = ? WHERE id = ?", 2**63 - 1, file_id)
        archive.request(file_id, "field", "safe")
    good = archive.request(archive.file("acq/good", b"bytes", "field"), "field", "safe")
    commands = (
        "status", "status --json", "acq list", "acq list --json", "acq show acq --show-nodes", "node list",
        "node stats", "node stats --json", "node show field --all", "group show safe --all", "host show here",
        "file list --details", "file show acq/0 --all", "plan", "plan --json", "request list", "rules check", "doctor",
        "node sync field safe --check", "node clean field --archive-ok --check", "repair --check", "history",
        f"report --output {archive.base}/report.html",
    )  # fmt: skip
    for command in commands:
        shown = archive.run(*command.split())
        assert shown.status in (0, 1) and "Error" not in shown.err and "overflow" not in shown.out, (
            command,
            shown,
        )
    assert " EiB" in archive.run("acq", "list").out
    result = archive.sync()
    assert archive.state(good) == "done", result
    assert "no room on safe" in result.err and "verflow" not in result.err
    assert archive.run("reconcile").status in (0, 1)
    assert archive.run("status").status == 0
