"""Reports of a run that may not start processes, or whose index turns out to be damaged."""

import os
import sqlite3
import subprocess
import sys

import pytest

RIGHTS = "+dac_read_search,+dac_override"
# Of a user of its own, since root has no such limit; with the right to read this Python wherever it lies.
AS_SOMEBODY = (
    () if os.geteuid() else ("setpriv", "--reuid=65531", f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}")
)


def limited(archive, processes, jobs=1):
    argv = [*AS_SOMEBODY, "prlimit", f"--nproc={processes}:{processes}", sys.executable, "-m", "alpenhorn"]
    return subprocess.run(
        [*argv, "-c", str(archive.configure(sync={"jobs": jobs})), "sync"],
        env=os.environ | {"HOME": str(archive.base)},
        capture_output=True,
        text=True,
    )


def test_situation_27_a_user_who_cannot_start_processes_gets_the_reason(sqlite_archive):
    sqlite_archive.node("field")
    sqlite_archive.node("safe")
    request = sqlite_archive.request(sqlite_archive.file("acq/f", b"bytes", "field"), "field", "safe")
    done = limited(sqlite_archive, 1)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "Error: cannot start a worker process: Resource temporarily unavailable; raise the limit on this user's"
        " processes (ulimit -u)\n"
    )
    if AS_SOMEBODY:  # anybody else has an unknown number of processes already
        done = limited(sqlite_archive, 4)  # the run, a worker, and a holder of the lock of each node
        assert (done.returncode, done.stderr) == (0, "")
        assert sqlite_archive.state(request) == "done"


@pytest.mark.parametrize("processes", [2, 3, 4, 5, 7])
def test_workers_leave_room_for_the_locks_of_nodes(sqlite_archive, processes):
    if not AS_SOMEBODY:
        pytest.fail("only root can be somebody who has no processes yet")
    sqlite_archive.node("field")
    sqlite_archive.node("safe")
    request = sqlite_archive.request(sqlite_archive.file("acq/f", b"bytes", "field"), "field", "safe")
    done = limited(sqlite_archive, processes, jobs=5)
    if processes > 3:  # the run, a worker, and a holder of the lock of each node
        assert (done.returncode, done.stderr) == (0, "")
        assert sqlite_archive.state(request) == "done"
    else:
        assert done.returncode == (1 if processes == 2 else 0)
        told = "cannot start a process for its run lock: Resource temporarily unavailable; raise the limit"
        assert done.stderr.count(told) == (2 if processes == 2 else 1)
        assert sqlite_archive.state(request) == "pending"


def test_situation_27_an_index_found_damaged_is_reported(sqlite_archive):
    archive = sqlite_archive
    archive.node("field")
    archive.node("safe")
    archive.requests(archive.files(20, "field"), "field", "safe")
    archive.index.executemany(
        "INSERT INTO archivefile (acq_id, name, registered) VALUES (1, ?, 5)",
        [(f"{n:0200}",) for n in range(3000)],
    )
    archive.do(
        "INSERT INTO archivefilecopyrequest (file_id, node_from_id, group_to_id, completed, cancelled)"
        " SELECT id, 1, 2, 0, 0 FROM archivefile"
    )
    archive.index.disconnect()
    path = archive.url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xa5" * (size // 4))
    result = archive.sync()
    assert result.status == 3, result
    assert "is damaged" in result.err and "restore it from a backup" in result.err
    listed = archive.run("file", "list", "--details")
    assert listed.status == 3 and "is damaged" in listed.err
