"""What a run failed to do stands in its history, with the reason, whatever the kind of work."""

from __future__ import annotations

import json

import pytest

from tests.fixtures.archive import Archive

pytestmark = pytest.mark.one_engine


def test_everything_that_failed_stands_in_the_history_of_the_run(archive: Archive) -> None:
    archive.node("field")
    archive.node("safe")
    for name in ("gone", "bad", "good"):
        archive.request(archive.file(f"acq/{name}", b"bytes", "field"), "field", "safe")
    (archive.root("field") / "acq" / "gone").unlink()
    archive.put("field", "acq/bad", b"other")
    # A directory cannot be read as a file.
    unread = archive.file("acq/unread", b"bytes")
    archive.set_copy(unread, "field", "MY")
    (archive.root("field") / "acq" / "unread").mkdir()
    archive.put("field", "acq/link", b"").unlink()
    (archive.root("field") / "acq" / "link").symlink_to("good")
    assert archive.run("file", "import", "acq/link", "field", "--register-new").status == 0
    done = archive.run("sync")
    assert done.status == 1, done
    (run,) = json.loads(archive.run("history", "--json").out)
    assert run["exit_status"] == 1

    document = json.loads(archive.run("history", "--run", str(run["id"]), "--json").out)
    failed = [event for event in document["events"] if event["what"] == "failed"]
    by_file = {event["path"]: event for event in failed if event["path"]}
    assert {"acq/gone", "acq/bad"} <= by_file.keys()
    assert "acq/good" not in by_file
    assert by_file["acq/gone"]["node"] == "safe" and by_file["acq/gone"]["code"] == "source-missing"
    # Each failure that the run printed, also of what the index has no file for.
    lines = [event["why"] for event in failed if event["path"] is None]
    printed = [line.removeprefix("failed: ") for line in done.err.splitlines() if line.startswith("failed: ")]
    assert lines == printed and any("acq/link" in line for line in lines)
    assert all(event["node"] is None and event["code"] for event in failed if event["path"] is None)

    text = archive.run("history", "--run", str(run["id"])).out
    failures = text.partition("Failures:")[2].partition("Events:")[0]
    assert [line for line in failures.splitlines() if line] == printed
    events = text.partition("Events:")[2]
    assert "acq/gone" in events and "gone)" not in events
    # A file's own history has the failure, too.
    assert "failed" in archive.run("history", "--file", "acq/gone").out


def test_a_failed_attempt_does_not_rewrite_the_manifest(archive: Archive) -> None:
    archive.node("field")
    archive.node("safe")
    archive.request(archive.file("acq/good", b"bytes", "field"), "field", "safe")
    archive.synced()
    manifest = archive.root("safe") / ".alpenhorn" / "manifest.md5"
    before = manifest.stat().st_ino, manifest.read_bytes()
    archive.request(archive.file("acq/gone", b"bytes", "field"), "field", "safe")
    (archive.root("field") / "acq" / "gone").unlink()
    assert archive.run("sync").status == 1
    assert (manifest.stat().st_ino, manifest.read_bytes()) == before
