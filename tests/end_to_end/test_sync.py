"""`alpenhorn sync` as a user sees it: imports, pulls, checks, output, and what is left alone."""

import os
import re
import subprocess
import sys

import pytest

from alpenhorn.fs.run_lock import RUN_LOCK, RunLock
from alpenhorn.kinds import JOBS, WORK
from tests.fixtures.archive import stand_in, wait_for


@pytest.fixture
def field(archive):
    """A field node and two archive nodes, all on this host."""
    archive.node("field")
    archive.node("safe1", archive=1)
    archive.node("safe2", archive=1)
    return archive


def test_a_file_goes_from_import_request_to_two_archive_nodes(field):
    contents = {f"day{i}/run/{j}.dat": os.urandom(i * 1000 + j) for i in range(3) for j in range(4)}
    for path, content in contents.items():
        field.put("field", path, content)
    assert field.run("node", "scan", "field", "--register-new").status == 0
    field.synced()
    assert field.run("node", "sync", "field", "safe1", "--force").status == 0
    assert field.run("node", "sync", "field", "safe2", "--force").status == 0
    field.synced()
    for node in ("field", "safe1", "safe2"):
        assert field.tree(node) == contents
        assert field.stray(node) == []
    assert field.all("SELECT DISTINCT has_file, wants_file FROM archivefilecopy") == [("Y", "Y")]
    assert field.one("SELECT COUNT(*) FROM archivefilecopy") == 3 * len(contents)
    times = field.all(
        "SELECT completed, cancelled, transfer_started <= transfer_completed FROM archivefilecopyrequest"
    )
    assert times == [(1, 0, 1)] * 2 * len(contents)
    assert field.violations() == []
    assert field.claims() == 0
    assert len(field.events("pulled")) == 2 * len(contents)
    runs = field.all(
        "SELECT host, exit_status, done, failed FROM sync_run WHERE ended IS NOT NULL ORDER BY id"
    )
    assert runs == [("here", 0, len(contents), 0), ("here", 0, 2 * len(contents), 0)]


def test_an_import_requested_by_a_rule_is_pulled_in_the_same_run(field):
    for name, group in (("field", "safe1"), ("safe1", "safe2")):
        field.insert(
            "storagetransferaction",
            node_from_id=field.id("storagenode", name),
            group_to_id=field.id("storagegroup", group),
            autosync=1,
            autoclean=0,
        )
    field.put("field", "acq/f", b"bytes")
    assert field.run("file", "import", "acq/f", "field", "--register-new").status == 0
    field.synced()
    assert field.tree("safe1") == field.tree("safe2") == {"acq/f": b"bytes"}


def test_hard_links_are_made_between_plain_nodes_only(archive):
    for name, is_archive in (("field", 0), ("near", 0), ("safe1", 1), ("safe2", 1)):
        archive.node(name, archive=is_archive)
    file_id = archive.file("acq/f", b"bytes", "field", "safe1")
    archive.request(file_id, "field", "near")
    archive.request(file_id, "safe1", "safe2")
    other = archive.file("acq/g", b"other", "safe1")
    archive.request(other, "safe1", "field")
    archive.synced()

    def inode(node, path):
        return (archive.root(node) / path).stat().st_ino

    assert inode("field", "acq/f") == inode("near", "acq/f")
    assert inode("safe1", "acq/f") != inode("safe2", "acq/f")
    assert inode("safe1", "acq/g") != inode("field", "acq/g")
    assert archive.violations() == []


def test_files_arrive_with_content_mode_and_time_whatever_their_size(field):
    sizes = {"empty": 0, "one": 1, "page": 4096, "odd": 1_000_003}
    ids = [field.file(f"acq/{name}", os.urandom(size), "field") for name, size in sizes.items()]
    source = field.root("field") / "acq" / "odd"
    source.chmod(0o400)
    os.utime(source, ns=(10**18, 10**18))
    sparse = field.put("field", "acq/sparse", b"")
    with sparse.open("r+b") as file:
        file.truncate(80 * 2**20)
        file.write(b"head")
    ids.append(field.file("acq/sparse", sparse.read_bytes()))
    field.set_copy(ids[-1], "field", "YY")
    field.requests(ids, "field", "safe1")
    field.synced()
    assert field.tree("safe1") == field.tree("field")
    there = (field.root("safe1") / "acq" / "odd").stat()
    assert (there.st_mode & 0o777, there.st_mtime_ns) == (0o400, 10**18)
    assert field.stray("safe1") == []


def test_names_of_every_kind_arrive(field):
    names = [
        "acq/with blank",
        "acq/-rf",
        "-acq/--delete",
        "acq/host:path",
        "acq/new\nline",
        "acq/quo'te\"s",
        "acq/" + "ü" * 127,
        "acq/\U0001f600/emoji",
        "acq/$(touch x)`;|&",
        "acq/a*?[b]",
        "Acq/f",
        "acq/F",
        "acq/f",
        "acq/tail ",
    ]
    ids = [field.file(name, name.encode() + b"!", "field") for name in names]
    field.requests(ids, "field", "safe1")
    field.synced()
    assert field.tree("safe1") == {name: name.encode() + b"!" for name in names}


def test_nothing_to_do_is_silent_and_succeeds(field):
    field.synced()
    field.synced("--only", "pull")


def loaded(archive):
    """Return the modules that the main process of a run imports.

    -X importtime would not list those that `alpenhorn.kinds.load` imports.
    """
    result = archive.sync(environ={"PYTHONVERBOSE": "1"})
    assert result.status == 0, result
    return set(re.findall(r"^import '([\w.]+)'", result.err, re.MULTILINE))


def test_a_run_loads_only_the_code_of_the_work_that_there_is(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    file_id = archive.file("acq/f", b"bytes", "field")
    archive.synced()
    planned = {target for work in WORK for target in (work.worklist, work.preview)}
    done = {handler.target for handler in JOBS.values()}
    code = {target.partition(":")[0] for target in planned | done} - {"alpenhorn.workers.nodes"}
    # peewee itself imports MySQLdb if it is installed, but not what opens connections.
    costly = {
        "rich",
        "tabulate",
        "wcwidth",
        "psutil",
        "subprocess",
        "shlex",
        "shutil",
        "MySQLdb.connections",
        "alpenhorn.index.tables",
    }
    idle = loaded(archive)
    assert {"alpenhorn.coordinator.sync", "alpenhorn.workers.nodes"} <= idle
    assert not (code | costly) & idle

    archive.request(file_id, "field", "safe")
    assert code & loaded(archive) == {"alpenhorn.coordinator.pulls"}
    assert archive.copy(file_id, "safe") == "YY"


def test_a_host_without_nodes_has_nothing_to_do(archive):
    archive.node("far", host="there")
    archive.host("here")
    archive.synced()


def test_a_plan_and_a_dry_run_touch_nothing(field):
    new = field.file("acq/f", b"bytes", "field")
    field.request(new, "field", "safe1")
    suspect = field.file("acq/g", b"other", "field")
    field.set_copy(suspect, "field", "MY")
    corrupt = field.file("acq/h", b"third")
    field.set_copy(corrupt, "field", "XY")
    field.request(corrupt, "field", "safe1")
    field.put("field", "acq/new", b"new")
    field.run("node", "scan", "field", "--register-new")
    unmarked = field.node("blank", made=False)
    unmarked.mkdir()
    field.run("node", "init", "blank")
    before = field.dump()
    trees = {name: field.everything(name) for name in ("field", "safe1", "safe2", "blank")}
    planned = field.run("plan")
    assert planned.status == 0
    assert "acq/h" not in field.tree("field")
    for text in ("pull", "check", "import", "cancel", "safe1"):
        assert text in planned.out, planned
    assert field.sync("--dry-run").out == planned.out
    lines = field.run("plan", "--json").json["lines"]
    assert {line["work"] for line in lines} == {"pull", "check", "import", "cancel"}
    assert field.run("plan", "--files").status == 0
    assert field.dump() == before
    assert {name: field.everything(name) for name in trees} == trees


def test_the_option_only_limits_the_kind_of_work(field):
    request = field.request(field.file("acq/f", b"bytes", "field"), "field", "safe1")
    suspect = field.file("acq/g", b"other", "field")
    field.set_copy(suspect, "field", "MY")
    field.put("field", "acq/new", b"new")
    field.run("node", "scan", "field", "--register-new")
    field.synced("--only", "check")
    assert (field.copy(suspect, "field"), field.state(request)) == ("YY", "pending")
    assert field.one("SELECT completed FROM archivefileimportrequest") == 0
    field.synced("--only", "import")
    assert field.one("SELECT completed FROM archivefileimportrequest") == 1
    assert field.state(request) == "pending"
    field.synced("--only", "pull")
    assert field.state(request) == "done"


def test_the_option_node_leaves_other_nodes_alone(field):
    file_id = field.file("acq/f", b"bytes", "field")
    first, second = field.request(file_id, "field", "safe1"), field.request(file_id, "field", "safe2")
    field.synced("--node", "safe2")
    assert (field.state(first), field.state(second)) == ("pending", "done")
    assert not (field.root("safe1") / ".alpenhorn/run.lock").exists()


def test_after_the_time_limit_nothing_new_is_started(field):
    """The first job starts before the limit and ends after it."""
    file_id = field.file("acq/f", bytes(3_000_000), "field")
    for group in ("safe1", "safe2"):
        field.request(file_id, "field", group)
    field.do("UPDATE storagenode SET io_config = ? WHERE name = 'field'", '{"bwlimit": 1000000}')
    result = field.sync("--time-limit", "2s", "--jobs", "1")
    assert result.status == 0
    assert "time limit" in result.err and "next run" in result.err
    assert field.pending() == 1
    assert field.claims() == 0
    assert field.violations() == []
    field.do("UPDATE storagenode SET io_config = NULL")
    field.synced()
    assert field.pending() == 0


def test_nodes_that_another_run_holds_are_left_to_it(field):
    request = field.request(field.file("acq/f", b"bytes", "field"), "field", "safe1")
    locks = [RunLock(field.root(name) / RUN_LOCK) for name in ("field", "safe1", "safe2")]
    for lock in locks:
        assert lock.acquire()
    before = field.dump()
    busy = field.sync()
    assert busy.status == 75 and busy.silent  # cron would mail every word, each time that runs overlap
    for told in (field.sync("--node", "safe1"), field.run("-v", "sync")):
        assert told.status == 75 and "another run is working on" in told.err
    assert f"pid {os.getpid()}" in (field.base / "here.log").read_text()
    assert field.dump() == before
    assert field.sync("--node", "safe1").status == 75
    waiting = field.start("sync", "--wait")
    assert waiting.process.poll() is None
    locks[0].release()
    partly = field.run("-v", "sync")
    # The waiting run may have it by now.
    assert partly.status in (0, 75)
    assert "safe1" in partly.out + partly.err
    for lock in locks[1:]:
        lock.release()
    assert waiting.result().status == 0
    assert field.state(request) == "done"


def test_on_a_terminal_progress_and_a_summary_are_shown(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1)
    archive.request(archive.file("acq/f", b"bytes", "field"), "field", "safe")
    conf = archive.configure()
    command = f"{sys.executable} -m alpenhorn -c {conf} sync"
    shown = subprocess.run(
        ["script", "-qec", command, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shown.returncode == 0, shown
    assert "pull" in shown.stdout and "files" in shown.stdout
    assert "Traceback" not in shown.stdout


def test_free_space_and_events_are_recorded(field):
    field.request(field.file("acq/f", b"bytes", "field"), "field", "safe1")
    field.synced()
    rows = field.all("SELECT avail_gb > 0, avail_gb_last_checked IS NOT NULL FROM storagenode")
    assert rows == [(1, 1)] * 3
    assert (field.base / "here.log").stat().st_size > 0


def test_requests_filed_during_a_run_are_served_or_left_whole(field):
    slow = field.file("acq/slow", os.urandom(200 * 2**20), "field")
    quick = field.file("acq/quick", b"bytes", "field")
    first = field.request(slow, "field", "safe1")
    run = field.start("sync", "--jobs", "1")
    wait_for(field.claims, "the run's first claim")
    second = field.request(quick, "field", "safe2")
    assert run.result().status == 0
    assert (field.state(first), field.state(second)) == ("done", "done")


def test_a_program_named_rsync_is_used_where_a_node_asks_for_it(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe", archive=1, io_config='{"method": "rsync"}')
    called = archive.base / "called"
    program = stand_in(archive.base / "bin", "my-rsync", f'touch {called}; exec rsync "$@"')
    archive.configure(transfer={"rsync": str(program)})
    ids = [archive.file(f"acq/{i}", None, "field") for i in range(20)]
    archive.requests(ids, "field", "safe")
    archive.synced()
    assert called.exists()
    assert archive.tree("safe") == archive.tree("field")
    assert archive.stray("safe") == []


def start_waiting(field, files):
    """Ask for big files on safe1 by a run that waits in a stand-in for rsync at the first one; return the archive, the
    run and what lets the next rsync begin."""
    gate, begun = field.base / "gate", field.base / "begun"
    os.mkfifo(gate)
    rsync = stand_in(field.base / "bin", "my-rsync", f'echo >> {begun}; read < {gate}; exec rsync "$@"')
    field.configure(sync={"jobs": 1}, transfer={"rsync": str(rsync)})
    field.do("UPDATE storagenode SET io_config = ? WHERE name = 'safe1'", '{"method": "rsync"}')
    ids = [field.file(f"acq/{i}", bytes(65 * 2**20), "field") for i in range(files)]
    field.requests(ids, "field", "safe1")
    run = field.start("sync", "--node", "safe1")
    wait_for(begun.exists, "the first pull")

    def go_on(number=1):
        wait_for(lambda: len(begun.read_text()) >= number, f"pull {number}")
        with gate.open("w") as opened:
            opened.write("go\n")

    return field, run, go_on


@pytest.fixture
def waiting(field):
    return start_waiting(field, 3)


@pytest.mark.one_engine
def test_a_request_cancelled_during_a_run_is_not_brought_back(field):
    _, run, go_on = start_waiting(field, 6)  # of which it has claimed 4, 256 MiB
    requests = [request for (request,) in field.all("SELECT id FROM archivefilecopyrequest ORDER BY id")]
    assert field.run("request", "cancel", str(requests[-1])).status == 0
    for number in range(1, 6):
        go_on(number)
    assert run.result().status == 0
    assert [field.state(request) for request in requests] == ["done"] * 5 + ["cancelled"]
    assert sorted(field.tree("safe1")) == [f"acq/{i}" for i in range(5)]
    assert field.violations() == []


def log_says(archive, text):
    wait_for(lambda: text in (archive.base / "here.log").read_text(), f"{text!r} in the log")


def test_a_node_that_is_deactivated_during_a_run_gets_no_further_job(waiting):
    field, run, go_on = waiting
    assert field.run("node", "deactivate", "safe1").status == 0
    log_says(field, "it was deactivated or taken off this host during the run")
    go_on()
    result = run.result()
    assert result.status == 0 and "node safe1: it was deactivated or taken off this host" in result.err
    assert sorted(field.tree("safe1")) == ["acq/0"] and field.pending() == 2 and field.claims() == 0


def test_a_source_that_is_deactivated_during_a_run_is_not_pulled_from_any_more(waiting):
    field, run, go_on = waiting
    late = field.request(field.file("acq/late", b"late", "safe2"), "safe2", "safe1")
    assert field.run("node", "deactivate", "safe2").status == 0
    for number in (1, 2, 3):
        go_on(number)
    assert run.result().status == 0
    assert field.state(late) == "pending" and len(field.tree("safe1")) == 3
