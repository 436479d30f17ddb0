"""Killed runs on a node with tape."""

import pytest

from tests.fixtures.archive import wait_for
from tests.fixtures.tape import Tape

pytestmark = pytest.mark.one_engine

LIMIT = 3


def filled(archive):
    """Requests for six files on tape, two suspect copies there, and three files on disk, of which one must leave."""
    tape = Tape(archive)
    tape.set(restore_limit=LIMIT, headroom=100)
    tape.lfs.quota(used=10**6 - 50, limit=10**6)
    tape.on_tape = [tape.file(f"acq/wanted{number}", bytes([number]) * 1000) for number in range(6)]
    archive.requests(tape.on_tape, "tape", "disk")
    for number in range(2):
        tape.file(f"acq/doubtful{number}", bytes([number]) * 1000, "MY")
    for number in range(3):
        archive.file(f"acq/old{number}", bytes([number]) * 60_000, "tape")
        tape.lfs.archived(tape.path(f"acq/old{number}"))
    return tape


def check(tape, when):
    """Check what must hold whenever a run was killed."""
    assert len(tape.lfs.coming()) <= LIMIT, when
    ready = tape.archive.all(
        "SELECT a.name, f.name FROM archivefilecopy c JOIN archivefile f ON f.id = c.file_id"
        " JOIN archiveacq a ON a.id = f.acq_id JOIN storagenode n ON n.id = c.node_id"
        " WHERE n.name = 'tape' AND c.ready = 1"
    )
    promised = {f"{acq}/{name}": tape.lfs.state(tape.path(f"{acq}/{name}")) for acq, name in ready}
    assert not {"released", "coming"} & set(promised.values()), (when, promised)
    assert tape.archive.all("SELECT COUNT(*) FROM archivefilecopy WHERE has_file IN ('N', 'X')") == [(0,)], (
        when
    )


@pytest.mark.parametrize("verb", ["hsm_state", "hsm_action", "hsm_restore", "hsm_release", "quota"])
def test_a_killed_run_records_no_ready_copy_that_is_not_there_and_loses_nothing(archive, verb, long):
    tape = filled(archive)
    for at in range(1, 5 if long else 3):
        tape.lfs.forget()
        running = archive.start("sync")
        wait_for(
            lambda running=running, at=at: (
                len(tape.lfs.asked(verb)) >= at or running.process.poll() is not None
            ),
            "lfs is asked, or the run ends",
        )
        running.kill()
        running.wait_until_nothing_is_left()
        check(tape, (verb, at))
        tape.lfs.finish(*tape.lfs.coming()[:1])
    for _ in range(20):
        archive.do("UPDATE sync_attempt SET next = '2026-01-01'")
        archive.do("UPDATE sync_restore SET next = '2026-01-01'")
        result = archive.sync()
        assert result.status == 0, result
        check(tape, (verb, "afterwards"))
        if not tape.lfs.finish() and not archive.pending():
            break
    assert archive.pending() == 0 and archive.claims() == 0
    assert set(archive.tree("disk")) == {f"acq/wanted{number}" for number in range(6)}
    # To see whether all that the index calls good is so, the tape has to give it back.
    for path in list(archive.tree("tape")):
        if tape.lfs.state(tape.path(path)) == "released":
            tape.lfs.archived(tape.path(path))
    assert archive.violations() == []
