from __future__ import annotations

import datetime

import pytest

from tests.cli.conftest import Archive

DAY = datetime.timedelta(days=1)


def pins(archive: Archive, path: str = "pilot/a") -> list[dict[str, str | None]]:
    found: list[dict[str, str | None]] = archive("file", "show", path, "--json").json["pins"]
    return found


def until(archive: Archive, option: str) -> datetime.datetime:
    """When a pin with that --until ends, naive UTC."""
    archive.ok("file", "pin", "pilot/a", "--until", option)
    (pin,) = pins(archive)
    assert pin["until"] is not None
    return datetime.datetime.fromisoformat(pin["until"]).replace(tzinfo=None)


@pytest.fixture
def file(archive: Archive) -> int:
    return archive.file("a", field1="YY", off1="YY")


def test_pin_and_unpin(archive: Archive, file: int) -> None:
    assert archive.ok("file", "pin", "pilot/a", "--reason", "a reason") == "Pinned pilot/a on every node.\n"
    (pin,) = pins(archive)
    assert (pin["node"], pin["reason"], pin["until"]) == (None, "a reason", None)
    assert pin["pinned"] is not None and pin["pinned"].endswith("Z")
    assert archive.one("SELECT file_id, node_id FROM sync_pin") == (file, 0)
    assert "Pinned on every node: pinned: a reason\n" in archive.ok("file", "show", "pilot/a")
    assert archive.ok("file", "unpin", "pilot/a") == "Unpinned pilot/a on every node.\n"
    assert pins(archive) == []
    assert "Kept" not in archive.ok("file", "show", "pilot/a")
    assert archive.ok("file", "unpin", "pilot/a") == "No change: pilot/a is not pinned on every node.\n"


def test_pins_on_single_nodes_are_pins_of_their_own(archive: Archive, file: int) -> None:
    archive.ok("file", "pin", "/srv/off1/pilot/a", "--node", "off1", "--until", "2999-01-01")
    archive.ok("file", "pin", "pilot/a")
    assert [pin["node"] for pin in pins(archive)] == [None, "off1"]
    text = archive.ok("file", "show", "pilot/a")
    assert "Pinned on off1: pinned until 2999-01-01 00:00:00 UTC\n" in text
    result = archive("file", "unpin", "pilot/a")
    assert result.out == "Unpinned pilot/a on every node.\n"
    assert result.err == "note: still pinned until 2999-01-01 00:00:00 UTC (on off1)\n"
    archive.ok("file", "unpin", "pilot/a", "--node", "off1")
    assert pins(archive) == []


def test_a_second_pin_changes_reason_and_time(archive: Archive, file: int) -> None:
    archive.ok("file", "pin", "pilot/a", "--reason", "one", "--until", "30d")
    archive.ok("file", "pin", "pilot/a", "--reason", "two")
    (pin,) = pins(archive)
    assert (pin["reason"], pin["until"]) == ("two", None)
    archive.ok("file", "pin", "pilot/a", "--until", "2999-01-01")
    (pin,) = pins(archive)
    assert (pin["reason"], pin["until"]) == (None, "2999-01-01T00:00:00Z")


def test_until_is_a_date_a_moment_or_a_duration(archive: Archive, file: int) -> None:
    assert until(archive, "2999-08-01") == datetime.datetime(2999, 8, 1)
    assert until(archive, "2999-08-01T12:30") == datetime.datetime(2999, 8, 1, 12, 30)
    assert until(archive, "2999-08-01 12:30:15Z") == datetime.datetime(2999, 8, 1, 12, 30, 15)
    assert until(archive, "2999-08-01T12:30+02:00") == datetime.datetime(2999, 8, 1, 10, 30)
    for text, length in (("30d", 30 * DAY), ("36h", 1.5 * DAY)):
        before = archive.index.now().replace(microsecond=0)
        assert before + length <= until(archive, text) <= archive.index.now() + length


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "30",
        "20990801",
        "30y",
        "-30d",
        "2099-13-01",
        "2099-02-30",
        "9999-12-31T23:59-23:00",
        "999999999999d",
    ],
)
def test_pin_until_something_that_is_not_a_time_is_wrong_usage(
    archive: Archive, file: int, text: str
) -> None:
    archive.fails(2, "file", "pin", "pilot/a", "--until", text)


def test_a_duration_beyond_the_calendar_is_wrong_usage(archive: Archive, file: int) -> None:
    assert "year 9999" in archive.fails(2, "file", "pin", "pilot/a", "--until", "99999999d")


@pytest.mark.parametrize("text", ["2001-01-01", "0s", "0001-01-01"])
def test_a_pin_in_the_past_is_refused(archive: Archive, file: int, text: str) -> None:
    assert "in the past" in archive.fails(1, "file", "pin", "pilot/a", "--until", text)


def test_a_reason_that_cannot_be_stored_or_shown_is_wrong_usage(archive: Archive, file: int) -> None:
    for reason in ("x" * 1001, "a\x1b[2J", "a\nb"):
        archive.fails(2, "file", "pin", "pilot/a", "--reason", reason)


def test_pin_reason_with_control_characters_is_shown_escaped(archive: Archive, file: int) -> None:
    archive.insert(
        "sync_pin", file_id=file, node_id=12345, reason="a\x1b[2J\nb", pinned="2026-07-22 10:00:00"
    )
    text = archive.ok("file", "show", "pilot/a")
    assert "\x1b" not in text and "Pinned on (gone): pinned: a\\x1b[2J\\nb\n" in text


def test_unknown_names_are_told(archive: Archive, file: int) -> None:
    for command in ("pin", "unpin"):
        assert "no file called 'pilot/b'" in archive.fails(1, "file", command, "pilot/b")
        assert "did you mean 'off1'" in archive.fails(1, "file", command, "pilot/a", "--node", "of1")
        archive.fails(2, "file", command)


def test_a_pin_that_comes_after_a_claim_is_told(archive: Archive, file: int) -> None:
    node_id = archive.id("storagenode", "off1")
    archive.insert(
        "sync_claim",
        kind="delete",
        file_id=file,
        target_id=node_id,
        node_id=node_id,
        reserved_b=0,
        host="alp2",
        run_id=1,
        expires=archive.index.now() + DAY,
        fence=1,
    )
    told = "note: pilot/a on off1: a run is already deleting this copy; it may be gone\n"
    assert archive("file", "pin", "pilot/a").err == told
    assert archive("file", "pin", "pilot/a", "--node", "off1").err == told
    assert archive("file", "pin", "pilot/a", "--node", "field1").err == ""
