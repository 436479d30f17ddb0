"""Requests whose source cannot be used."""

import pytest

pytestmark = pytest.mark.one_engine


@pytest.fixture
def nodes(archive):
    """Nodes `one` and `two`, sources of requests, and node `safe`."""
    archive.node("one")
    archive.node("two")
    archive.node("safe", archive=1)
    archive.configure()
    return archive


def test_a_second_request_from_another_source_brings_the_file_and_the_first_is_cancelled(nodes):
    file_id = nodes.file("acq/f", b"bytes", "one", "two")
    first = nodes.request(file_id, "one", "safe")
    nodes.do("UPDATE storagenode SET active = 0 WHERE name = 'one'")
    assert nodes.run("file", "sync", "acq/f", "--from", "two", "--to", "safe").status == 0
    second = nodes.one("SELECT MAX(id) FROM archivefilecopyrequest")
    nodes.sync()
    assert (nodes.state(first), nodes.state(second)) == ("cancelled", "done")
    assert nodes.copy(file_id, "safe") == "YY" and nodes.claims() == 0 and nodes.violations() == []


def test_of_two_requests_from_two_sources_one_is_pulled(nodes):
    file_id = nodes.file("acq/f", b"bytes", "one", "two")
    both = [nodes.request(file_id, source, "safe") for source in ("one", "two")]
    nodes.synced()
    assert [nodes.state(request) for request in both] == ["done", "cancelled"]
    assert len(nodes.events("pulled")) == 1 and nodes.violations() == []
