from __future__ import annotations

from tests.cli.conftest import Archive


def priorities(archive: Archive) -> dict[int, int]:
    return dict(archive.all("SELECT request_id, priority FROM sync_priority"))


def test_requests_by_id(archive: Archive) -> None:
    first, second = (archive.request(archive.file(name, field1="YY")) for name in "ab")
    done = archive.request(archive.file("c", field1="YY"), completed=1)
    said = archive.ok("request", "prioritise", str(first), str(done), "7")
    assert said.splitlines() == [
        "Set the priority of 1 request to 7.",
        "Not changed, because not pending: 1 request.",
    ]
    assert priorities(archive) == {first: 7}
    archive.ok("request", "prioritise", "--", str(second), "-3")
    archive.ok("request", "prioritise", str(first), "0")
    assert priorities(archive) == {second: -3}
    message = archive.fails(1, "request", "prioritise", str(first), "4711", "1")
    assert "no request with the id 4711; nothing was changed" in message
    assert priorities(archive) == {second: -3}


def test_requests_by_group_node_and_acquisition(archive: Archive) -> None:
    wanted = archive.request(archive.file("a", acq="one", field1="YY"))
    archive.request(archive.file("b", acq="two", field1="YY"))
    archive.request(archive.file("c", acq="one", off1="YY"), node="off1", group="field")
    archive.request(archive.file("d", acq="one", field1="YY"), cancelled=1)
    selecting = ("--group", "offsite", "--node", "field1", "--acq", "one")
    would = archive.ok("request", "prioritise", "4", *selecting, "--check")
    assert would.startswith("Would prioritise 1 pending request") and "with priority 4." in would
    assert priorities(archive) == {}
    assert "Set the priority of 1 request to 4." in archive.ok(
        "request", "prioritise", "4", *selecting, "--force"
    )
    assert priorities(archive) == {wanted: 4}
    assert "No pending requests" in archive.ok(
        "request", "prioritise", "4", "--group", "field", "--node", "field1"
    )


def test_wrong_usage(archive: Archive) -> None:
    archive.fails(2, "request", "prioritise")
    archive.fails(2, "request", "prioritise", "4")
    archive.fails(2, "request", "prioritise", "4", "--acq", "pilot")
    archive.fails(2, "request", "prioritise", "1", "4", "--group", "offsite")
    archive.fails(2, "request", "prioritise", "1", "4.5")
    archive.fails(2, "request", "prioritise", "1", "1000000")
    archive.fails(2, "file", "sync", "pilot/a", "--cancel", "--priority", "3")
    archive.fails(2, "node", "sync", "field1", "offsite", "--cancel", "--priority", "3")
