from __future__ import annotations

import pytest

from alpenhorn.reasons import Code
from tests.cli.conftest import Archive


@pytest.fixture
def ids(archive: Archive) -> dict[str, int]:
    """Requests by their state; the failing one is for acquisition other."""
    made = {
        "pending": archive.request(archive.file("a", field1="YY")),
        "done": archive.request(archive.file("b"), completed=1, transfer_completed="2026-07-22 12:00:00"),
        "cancelled": archive.request(archive.file("c"), cancelled=1),
        "failing": archive.request(archive.file("d", acq="other"), node="off1", group="spare"),
    }
    archive.attempt(made["failing"], error="no space on\ndevice")
    return made


def listed(archive: Archive, *options: str) -> list[int]:
    return [row["id"] for row in archive("request", "list", "--json", *options).json]


def test_list_by_state(archive: Archive, ids: dict[str, int]) -> None:
    assert listed(archive) == [ids["pending"], ids["failing"]]
    for state in ("failing", "done", "cancelled"):
        assert listed(archive, "--state", state) == [ids[state]]
    archive.fails(2, "request", "list", "--state", "lost")


def test_list_by_place_and_acquisition(archive: Archive, ids: dict[str, int]) -> None:
    assert listed(archive, "--node", "field1") == [ids["pending"]]
    assert listed(archive, "--group", "spare") == [ids["failing"]]
    assert listed(archive, "--acq", "other") == [ids["failing"]]
    assert listed(archive, "--acq", "other", "--node", "field1") == []
    archive.fails(1, "request", "list", "--node", "nix")


def test_list_in_words(archive: Archive, ids: dict[str, int]) -> None:
    text = archive.ok("request", "list")
    assert "pilot/a" in text and "failing" in text and "no space on\\ndevice" in text
    assert archive.ok("request", "list", "--node", "off2") == "No pending requests.\n"


def test_the_json_of_a_failing_request(archive: Archive, ids: dict[str, int]) -> None:
    assert archive("request", "show", str(ids["failing"]), "--json").json == {
        "id": ids["failing"],
        "path": "other/d",
        "node": "off1",
        "group": "spare",
        "size_b": 1000,
        "state": "failing",
        "requested": "2026-07-22T11:00:00Z",
        "started": None,
        "ended": None,
        "priority": 0,
        "attempts": 3,
        "last_attempt": "2026-07-22T12:00:00Z",
        "next_attempt": "2026-07-22T12:30:00Z",
        "blame": "destination",
        "error": "no space on\ndevice",
        "code": "unknown",  # as an earlier version recorded it
        "waits": None,
        "in_a_run_now": "its group has no active node on any host",
        "in_a_run_now_code": "group-without-node-anywhere",
    }


def test_show_tells_what_went_wrong(archive: Archive, ids: dict[str, int]) -> None:
    text = archive.ok("request", "show", str(ids["failing"]))
    for words in ("State: failing", "Failed attempts: 3", "Problem with: destination", "2026-07-22 12:30:00"):
        assert words in text
    assert "Done: 2026-07-22 12:00:00" in archive.ok("request", "show", str(ids["done"]))
    assert "no request with the id 999" in archive.fails(1, "request", "show", "999")
    for bad in ("x", "0", "-1", "99999999999999999999"):
        archive.fails(2, "request", "show", bad)


def test_cancel(archive: Archive, ids: dict[str, int]) -> None:
    both = [str(ids["pending"]), str(ids["done"])]
    assert archive.ok("request", "cancel", *both) == (
        "Cancelled 1 request.\nNot changed, because not pending: 1 request.\n"
    )
    assert archive.one("SELECT cancelled FROM archivefilecopyrequest WHERE id = ?", ids["done"]) == 0
    assert listed(archive) == [ids["failing"]]
    assert archive.ok("request", "cancel", str(ids["pending"])).startswith("Cancelled 0 requests.")


def test_cancel_of_an_unknown_request_cancels_none(archive: Archive, ids: dict[str, int]) -> None:
    message = archive.fails(1, "request", "cancel", str(ids["pending"]), "999", "998")
    assert "no request with the id 999, 998; nothing was changed" in message
    archive.fails(2, "request", "cancel")


def test_retry_forgets_the_attempts(archive: Archive, ids: dict[str, int]) -> None:
    archive.attempt(ids["pending"])
    archive.insert(
        "sync_attempt",
        kind="check",
        subject_id=ids["pending"],
        count=1,
        last="2026-07-22 12:00:00",
        next="2026-07-22 12:30:00",
        blame="worker",
        error="",
    )
    assert "The next run retries 1 request." in archive.ok("request", "retry", str(ids["failing"]))
    assert listed(archive, "--state", "failing") == [ids["pending"]]
    assert "no failed attempts" in archive.ok("request", "retry", str(ids["failing"]))
    archive.fails(1, "request", "retry", str(ids["pending"]), "999")
    archive.fails(2, "request", "retry")
    archive.fails(2, "request", "retry", "--all", str(ids["pending"]))
    archive.ok("request", "retry", "--all")
    assert archive.all("SELECT kind FROM sync_attempt") == [("check",)]


def test_a_request_whose_rows_are_gone_can_still_be_seen(archive: Archive, ids: dict[str, int]) -> None:
    if not archive.index.dialect.in_a_file:
        archive.index.execute("SET FOREIGN_KEY_CHECKS = 0")
    archive.index.execute("DELETE FROM archivefile")
    archive.index.execute("DELETE FROM storagenode")
    text = archive.ok("request", "show", str(ids["pending"]))
    assert "(file gone)" in text and "From node: (gone)" in text
    assert listed(archive) == [ids["pending"], ids["failing"]]
    archive.ok("status")
    archive.ok("group", "show", "offsite", "--transfers")


def test_the_remedy_of_a_request_has_the_names_of_its_file_and_node(archive: Archive) -> None:
    request = archive.request(archive.file("a b", field1="YY"))
    archive.attempt(request, error=Code.FILE_MD5_MISSING())
    shown = archive.ok("request", "show", str(request))
    assert "to compute it: alpenhorn file modify 'pilot/a b' --from-copy field1\n" in shown
    # Programs get the text as it is recorded.
    assert "modify FILE --from-copy NODE" in archive("request", "show", str(request), "--json").json["error"]
