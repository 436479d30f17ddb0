"""Wrong clocks: a run sees a different time of day from the one before it."""

import pytest

from tests.fixtures.archive import clock


@pytest.fixture
def pair(archive):
    archive.node("field", auto_import=1)
    archive.node("safe", archive=1)
    return archive


def test_after_the_clock_went_back_by_an_hour_failed_work_is_tried_again(pair):
    file_id = pair.file("acq/f", b"bytes")  # with one source only
    pull = pair.request(file_id, "field", "safe")
    pair.node("gone", host="there", made=False)
    pair.host("there")
    pair.do("UPDATE storagehost SET address = '127.0.0.1', username = 'nobody' WHERE name = 'there'")
    pair.set_copy(file_id, "gone", "YY")
    pair.do("UPDATE archivefilecopyrequest SET node_from_id = ?", pair.id("storagenode", "gone"))
    pair.configure(transfer={"ssh": ["false"]})
    assert pair.sync("--only", "pull").status == 1
    assert pair.attempt(pull) is None
    ((_, count, _),) = pair.held_back()
    # At the right time it waits.
    pair.synced("--only", "pull")
    assert [row[1] for row in pair.held_back()] == [count]
    assert pair.sync("--only", "pull", environ=clock("-3600s")).status == 1
    assert [row[1] for row in pair.held_back()] == [count + 1]


@pytest.mark.parametrize("offset", ["-3600s", "+3600s"])
def test_settling_does_not_depend_on_the_hosts_clock(pair, offset):
    """The times of files come from the clock of the storage."""
    pair.put("field", "acq/new", b"new")
    assert pair.sync("--only", "import", environ=clock(offset)).status == 0
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 0
    pair.configure(sync={"import_settle": 0})
    assert pair.sync("--only", "import", environ=clock(offset)).status == 0
    assert pair.one("SELECT COUNT(*) FROM archivefile") == 1
